package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	hydra "github.com/ory/hydra-client-go/v2"
)

func (s *suite) trustedIssuers() {
	api := s.admin.OAuth2API
	trust := hydra.NewTrustOAuth2JwtGrantIssuer(time.Now().Add(time.Hour), "https://issuer.example.com", publicKey(), []string{"read"})
	trust.SetSubject("alice")
	trusted, response, err := api.TrustOAuth2JwtGrantIssuer(s.ctx).TrustOAuth2JwtGrantIssuer(*trust).Execute()
	check(err)
	must(response.StatusCode == http.StatusCreated && trusted.GetId() != "", "an issuer is trusted")
	_, response, err = api.TrustOAuth2JwtGrantIssuer(s.ctx).TrustOAuth2JwtGrantIssuer(*trust).Execute()
	refused(response, err, http.StatusConflict)
	shown, _, err := api.GetTrustedOAuth2JwtGrantIssuer(s.ctx, trusted.GetId()).Execute()
	check(err)
	key := shown.GetPublicKey()
	must(shown.GetSubject() == "alice" && key.GetKid() == "theirs", "it is shown")
	listed, _, err := api.ListTrustedOAuth2JwtGrantIssuers(s.ctx).Issuer("https://issuer.example.com").Execute()
	check(err)
	must(len(listed) == 1 && listed[0].GetExpiresAt().After(time.Now()), "and listed")
	_, err = api.DeleteTrustedOAuth2JwtGrantIssuer(s.ctx, trusted.GetId()).Execute()
	check(err)
	_, response, err = api.GetTrustedOAuth2JwtGrantIssuer(s.ctx, trusted.GetId()).Execute()
	refused(response, err, http.StatusNotFound)
}

func publicKey() hydra.JsonWebKey {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	point, err := pair.PublicKey.Bytes()
	check(err)
	jwk := hydra.NewJsonWebKey("ES256", "theirs", "EC", "sig")
	jwk.SetCrv("P-256")
	jwk.SetX(base64.RawURLEncoding.EncodeToString(point[1:33]))
	jwk.SetY(base64.RawURLEncoding.EncodeToString(point[33:]))
	return *jwk
}

// registration: a client registers itself, looks at itself, changes itself and goes (RFC 7591, RFC 7592).
func (s *suite) registration() {
	api := s.public.OidcAPI
	wanted := hydra.NewOAuth2Client()
	wanted.SetClientName("Self-made")
	wanted.SetRedirectUris([]string{redirectURI})
	made, response, err := api.CreateOidcDynamicClient(s.ctx).OAuth2Client(*wanted).Execute()
	check(err)
	must(response.StatusCode == http.StatusCreated && made.GetClientSecret() != "", "a client registers itself")
	as := func(client *hydra.OAuth2Client) context.Context {
		return context.WithValue(s.ctx, hydra.ContextAccessToken, client.GetRegistrationAccessToken())
	}
	shown, _, err := api.GetOidcDynamicClient(as(made), made.GetClientId()).Execute()
	check(err)
	must(shown.GetClientName() == "Self-made", "it sees itself")
	shown.SetClientName("Renamed")
	changed, _, err := api.SetOidcDynamicClient(as(made), made.GetClientId()).OAuth2Client(*shown).Execute()
	check(err)
	must(changed.GetClientName() == "Renamed", "it changes itself")
	_, response, err = api.GetOidcDynamicClient(as(made), made.GetClientId()).Execute()
	refused(response, err, http.StatusUnauthorized)
	_, err = api.DeleteOidcDynamicClient(as(changed), made.GetClientId()).Execute()
	check(err)
}
