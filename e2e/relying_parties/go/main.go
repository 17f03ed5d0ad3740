// A relying party made with golang.org/x/oauth2 and go-oidc.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"keywright.dev/e2e/useragent"
)

const state, nonce = "a-state-of-some-length", "a-nonce-of-some-length"

type party struct {
	ctx       context.Context
	browser   *useragent.Browser
	config    oauth2.Config
	verifier  *oidc.IDTokenVerifier
	endpoints struct {
		Revocation    string `json:"revocation_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		EndSession    string `json:"end_session_endpoint"`
	}
	provider *oidc.Provider
}

func main() {
	log.SetFlags(0)
	p := discover()

	first := p.login()
	claims := p.verify(first)
	must(claims.Nonce == nonce && claims.Subject == "alice", "the ID token is of this login")
	p.userinfo(first)

	post(os.Getenv("ROTATE_URL"))
	second := p.login()
	after := p.verify(second)
	must(keyID(raw(first)) != keyID(raw(second)), "the keys have turned")
	must(p.verify(first).Subject == after.Subject, "an ID token of the key before is still valid")

	refreshed := p.refresh(second)
	must(refreshed.AccessToken != second.AccessToken, "a refresh gives another access token")
	must(refreshed.RefreshToken != second.RefreshToken, "and another refresh token")
	must(p.isActive(refreshed.AccessToken), "the new token is active")
	p.revoke(refreshed.RefreshToken)
	must(!p.isActive(refreshed.AccessToken), "with its grant, a token ends")
	_, err := p.config.TokenSource(p.ctx, &oauth2.Token{RefreshToken: refreshed.RefreshToken}).Token()
	var refused *oauth2.RetrieveError
	must(errors.As(err, &refused) && refused.ErrorCode == "invalid_grant", "a revoked token is refused")

	p.device()
	p.logout(raw(first))
	fmt.Println("go: ok")
}

func discover() *party {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	check(err)
	p := &party{ctx: ctx, provider: provider, browser: useragent.New()}
	check(provider.Claims(&p.endpoints))
	p.config = oauth2.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		Endpoint:     provider.Endpoint(),
		RedirectURL:  os.Getenv("REDIRECT_URI"),
		Scopes:       []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess, "email"},
	}
	p.verifier = provider.Verifier(&oidc.Config{ClientID: p.config.ClientID})
	return p
}

// browse goes where the browser is sent until it comes back to the relying party.
func (p *party) browse(to string) url.Values {
	back, err := p.browser.Browse(to)
	check(err)
	return back
}

func (p *party) login() *oauth2.Token {
	pkce := oauth2.GenerateVerifier()
	back := p.browse(p.config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(pkce)))
	must(back.Get("state") == state && back.Get("iss") == os.Getenv("ISSUER"), "the response is of this request")
	token, err := p.config.Exchange(p.ctx, back.Get("code"), oauth2.VerifierOption(pkce))
	check(err)
	return token
}

func (p *party) verify(token *oauth2.Token) *oidc.IDToken {
	verified, err := p.verifier.Verify(p.ctx, raw(token))
	check(err)
	check(verified.VerifyAccessToken(token.AccessToken))
	return verified
}

func (p *party) userinfo(token *oauth2.Token) {
	info, err := p.provider.UserInfo(p.ctx, oauth2.StaticTokenSource(token))
	check(err)
	must(info.Subject == "alice" && info.Email == "alice@example.com", "userinfo tells of alice")
}

func (p *party) refresh(token *oauth2.Token) *oauth2.Token {
	refreshed, err := p.config.TokenSource(p.ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	check(err)
	p.verify(refreshed)
	return refreshed
}

func (p *party) isActive(token string) bool {
	var answer struct{ Active bool }
	check(json.Unmarshal(p.asClient(p.endpoints.Introspection, token), &answer))
	return answer.Active
}

func (p *party) revoke(token string) { p.asClient(p.endpoints.Revocation, token) }

func (p *party) asClient(endpoint, token string) []byte {
	form := url.Values{"token": {token}}
	request, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	check(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(p.config.ClientID), url.QueryEscape(p.config.ClientSecret))
	return do(request)
}

// device logs in a device, which is a public client.
func (p *party) device() {
	config := oauth2.Config{ClientID: "device", Endpoint: p.provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID}}
	config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	device, err := config.DeviceAuth(p.ctx)
	check(err)
	response, err := p.browser.Get(device.VerificationURIComplete)
	check(err)
	defer response.Body.Close()
	must(response.StatusCode == http.StatusOK, "the device's login ends on a page: "+response.Status)
	token, err := config.DeviceAccessToken(p.ctx, device)
	check(err)
	verified, err := p.provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(p.ctx, raw(token))
	check(err)
	must(verified.Subject == "alice", "the device is alice's")
}

func (p *party) logout(idToken string) {
	query := url.Values{
		"id_token_hint":            {idToken},
		"post_logout_redirect_uri": {"http://127.0.0.1:9/logged-out"},
		"state":                    {state},
	}
	must(p.browse(p.endpoints.EndSession+"?"+query.Encode()).Get("state") == state, "the logout comes back")
	silent := oauth2.SetAuthURLParam("prompt", "none")
	must(p.browse(p.config.AuthCodeURL(state, silent)).Get("error") == "login_required", "nobody is logged in")
}

func raw(token *oauth2.Token) string {
	text, _ := token.Extra("id_token").(string)
	must(text != "", "there is an ID token")
	return text
}

// keyID is the header's part of a token up to the next one: it holds the algorithm and the key's id.
func keyID(token string) string { return strings.SplitN(token, ".", 2)[0] }

func post(to string) {
	request, err := http.NewRequest(http.MethodPost, to, http.NoBody)
	check(err)
	do(request)
}

func do(request *http.Request) []byte {
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	must(response.StatusCode < 300, fmt.Sprintf("%s answers %s %s", request.URL, response.Status, body))
	return body
}

func check(err error) {
	if err != nil {
		log.Fatal("go: ", err)
	}
}

func must(holds bool, what string) {
	if !holds {
		log.Fatal("go: it does not hold that ", what)
	}
}
