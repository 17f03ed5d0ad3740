module keywright.dev/e2e/sdk

go 1.26.8

require github.com/ory/hydra-client-go/v2 v2.2.1

require golang.org/x/oauth2 v0.21.0 // indirect

require keywright.dev/e2e/useragent v0.0.0

replace keywright.dev/e2e/useragent => ../useragent
