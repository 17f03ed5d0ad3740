module keywright.dev/e2e/useragent

go 1.26.8
