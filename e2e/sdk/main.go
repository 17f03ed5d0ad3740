// Ory's own client library drives both APIs: whatever it cannot read, no program made with it can.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	hydra "github.com/ory/hydra-client-go/v2"
	"keywright.dev/e2e/useragent"
)

const redirectURI = "http://127.0.0.1:9/callback"

type suite struct {
	ctx     context.Context
	public  *hydra.APIClient
	admin   *hydra.APIClient
	browser *useragent.Browser
	// What the pages say to the next login, consent and logout.
	reject string
}

func main() {
	log.SetFlags(0)
	s := &suite{ctx: context.Background(), public: at(os.Getenv("PUBLIC_URL")), admin: at(os.Getenv("ADMIN_URL")), browser: useragent.New()}
	pages, err := net.Listen("tcp", os.Getenv("PAGES"))
	check(err)
	go func() { log.Fatal(http.Serve(pages, http.HandlerFunc(s.page))) }()

	s.metadata()
	s.clients()
	s.keys()
	s.trustedIssuers()
	s.registration()
	s.flows()
	fmt.Println("sdk: ok")
}

func at(base string) *hydra.APIClient {
	configuration := hydra.NewConfiguration()
	configuration.Servers = hydra.ServerConfigurations{{URL: base}}
	return hydra.NewAPIClient(configuration)
}

func (s *suite) metadata() {
	alive, _, err := s.admin.MetadataAPI.IsAlive(s.ctx).Execute()
	check(err)
	must(alive.GetStatus() == "ok", "it is alive")
	ready, _, err := s.admin.MetadataAPI.IsReady(s.ctx).Execute()
	check(err)
	must(ready.GetStatus() == "ok", "it is ready")
	version, _, err := s.admin.MetadataAPI.GetVersion(s.ctx).Execute()
	check(err)
	must(strings.HasPrefix(version.GetVersion(), "v"), "it has a version")

	discovery, _, err := s.public.OidcAPI.DiscoverOidcConfiguration(s.ctx).Execute()
	check(err)
	must(discovery.Issuer == os.Getenv("PUBLIC_URL"), "discovery names the issuer")
	must(slices.Contains(discovery.ResponseTypesSupported, "code"), "and what is supported")
	keys, _, err := s.public.WellknownAPI.DiscoverJsonWebKeys(s.ctx).Execute()
	check(err)
	must(len(keys.Keys) >= 2 && keys.Keys[0].Alg != "", "the keys are published")
}

func (s *suite) clients() {
	api := s.admin.OAuth2API
	wanted := hydra.NewOAuth2Client()
	wanted.SetClientId("sdk/1")
	wanted.SetClientName("SDK")
	wanted.SetOwner("somebody")
	wanted.SetGrantTypes([]string{"client_credentials"})
	wanted.SetScope("read write")
	wanted.SetMetadata(map[string]any{"team": "a"})
	created, response, err := api.CreateOAuth2Client(s.ctx).OAuth2Client(*wanted).Execute()
	check(err)
	must(response.StatusCode == http.StatusCreated && created.GetClientSecret() != "", "a client is created")
	_, response, err = api.CreateOAuth2Client(s.ctx).OAuth2Client(*wanted).Execute()
	refused(response, err, http.StatusConflict)

	shown, _, err := api.GetOAuth2Client(s.ctx, "sdk/1").Execute()
	check(err)
	must(shown.GetClientSecret() == "" && shown.GetScope() == "read write", "a client is shown without its secret")
	shown.SetClientName("SDK 2")
	set, _, err := api.SetOAuth2Client(s.ctx, "sdk/1").OAuth2Client(*shown).Execute()
	check(err)
	must(set.GetClientName() == "SDK 2", "what was shown can be set again")
	patch := hydra.NewJsonPatch("replace", "/client_uri")
	patch.SetValue("https://example.com")
	patched, _, err := api.PatchOAuth2Client(s.ctx, "sdk/1").JsonPatch([]hydra.JsonPatch{*patch}).Execute()
	check(err)
	must(patched.GetClientUri() == "https://example.com", "a client is patched")
	lifespans := hydra.NewOAuth2ClientTokenLifespans()
	lifespans.SetClientCredentialsGrantAccessTokenLifespan("5m")
	lived, _, err := api.SetOAuth2ClientLifespans(s.ctx, "sdk/1").OAuth2ClientTokenLifespans(*lifespans).Execute()
	check(err)
	must(lived.GetClientCredentialsGrantAccessTokenLifespan() == "5m0s", "lifespans are set")

	listed, _, err := api.ListOAuth2Clients(s.ctx).ClientName("SDK 2").Owner("somebody").PageSize(5).Execute()
	check(err)
	must(len(listed) == 1 && listed[0].GetClientId() == "sdk/1", "clients are listed")

	asClient := context.WithValue(s.ctx, hydra.ContextBasicAuth, hydra.BasicAuth{
		UserName: url.QueryEscape("sdk/1"), Password: url.QueryEscape(created.GetClientSecret())})
	tokens, _, err := s.public.OAuth2API.Oauth2TokenExchange(asClient).GrantType("client_credentials").Execute()
	check(err)
	must(s.isActive(tokens.GetAccessToken()) && tokens.GetExpiresIn() <= 300, "it gets a token")
	_, err = s.public.OAuth2API.RevokeOAuth2Token(asClient).Token(tokens.GetAccessToken()).Execute()
	check(err)
	must(!s.isActive(tokens.GetAccessToken()), "and gives it back")
	tokens, _, err = s.public.OAuth2API.Oauth2TokenExchange(asClient).GrantType("client_credentials").Execute()
	check(err)
	_, err = api.DeleteOAuth2Token(s.ctx).ClientId("sdk/1").Execute()
	check(err)
	must(!s.isActive(tokens.GetAccessToken()), "all of its tokens end at once")

	_, err = api.DeleteOAuth2Client(s.ctx, "sdk/1").Execute()
	check(err)
	_, response, err = api.GetOAuth2Client(s.ctx, "sdk/1").Execute()
	refused(response, err, http.StatusNotFound)
}

func (s *suite) keys() {
	api := s.admin.JwkAPI
	create := hydra.NewCreateJsonWebKeySet("ES256", "first", "sig")
	made, response, err := api.CreateJsonWebKeySet(s.ctx, "sdk").CreateJsonWebKeySet(*create).Execute()
	check(err)
	must(response.StatusCode == http.StatusCreated && made.Keys[0].Kid == "first", "a key is made")
	one, _, err := api.GetJsonWebKey(s.ctx, "sdk", "first").Execute()
	check(err)
	must(len(one.Keys) == 1 && one.Keys[0].D != nil, "a key is shown")
	stored, _, err := api.SetJsonWebKey(s.ctx, "other", "first").JsonWebKey(one.Keys[0]).Execute()
	check(err)
	must(stored.Kid == "first", "a key is stored")
	two := hydra.NewJsonWebKeySet()
	two.SetKeys(one.Keys)
	_, _, err = api.SetJsonWebKeySet(s.ctx, "third").JsonWebKeySet(*two).Execute()
	check(err)
	set, _, err := api.GetJsonWebKeySet(s.ctx, "third").Execute()
	check(err)
	must(len(set.Keys) == 1, "a set is stored and shown")
	_, err = api.DeleteJsonWebKey(s.ctx, "sdk", "first").Execute()
	check(err)
	for _, name := range []string{"sdk", "other", "third"} {
		_, err = api.DeleteJsonWebKeySet(s.ctx, name).Execute()
		check(err)
	}
	_, response, err = api.GetJsonWebKeySet(s.ctx, "third").Execute()
	refused(response, err, http.StatusNotFound)
}

func (s *suite) isActive(token string) bool {
	told, _, err := s.admin.OAuth2API.IntrospectOAuth2Token(s.ctx).Token(token).Execute()
	check(err)
	return told.Active
}

// refused: the library tells of an error, with this status.
func refused(response *http.Response, err error, status int) {
	must(err != nil, "an error was expected")
	var told *hydra.GenericOpenAPIError
	must(errors.As(err, &told), "the library understands it")
	must(response.StatusCode == status, fmt.Sprintf("%s in place of %d: %s", response.Status, status, told.Body()))
}

func must(holds bool, what string) {
	if !holds {
		log.Output(2, "")
		panic("not so: " + what)
	}
}

func check(err error) {
	var told *hydra.GenericOpenAPIError
	if errors.As(err, &told) {
		panic(fmt.Sprintf("%v: %s", err, told.Body()))
	}
	if err != nil {
		panic(err)
	}
}

func closed(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
