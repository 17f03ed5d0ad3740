package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	hydra "github.com/ory/hydra-client-go/v2"
)

const state = "a-state-of-some-length"

// page is the login, consent and logout app: everybody is alice and agrees, unless the next answer is a refusal.
func (s *suite) page(writer http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	var to string
	switch request.URL.Path {
	case "/login":
		to = s.login(query.Get("login_challenge"))
	case "/consent":
		to = s.consent(query.Get("consent_challenge"))
	case "/logout":
		to = s.logout(query.Get("logout_challenge"))
	}
	if to == "" {
		_, _ = writer.Write([]byte("stayed"))
		return
	}
	http.Redirect(writer, request, to, http.StatusFound)
}

func (s *suite) refusal() hydra.RejectOAuth2Request {
	refusal := hydra.NewRejectOAuth2Request()
	refusal.SetError("access_denied")
	refusal.SetErrorDescription("not today")
	refusal.SetStatusCode(http.StatusForbidden)
	return *refusal
}

func (s *suite) login(challenge string) string {
	api := s.admin.OAuth2API
	asked, _, err := api.GetOAuth2LoginRequest(s.ctx).LoginChallenge(challenge).Execute()
	check(err)
	must(asked.Client.GetClientId() == "flows" && asked.Challenge == challenge, "the login request is of the client")
	must(asked.RequestedScope[0] == "openid" && asked.GetSessionId() != "", "and says what is asked")
	if s.reject == "login" {
		answer, _, err := api.RejectOAuth2LoginRequest(s.ctx).LoginChallenge(challenge).RejectOAuth2Request(s.refusal()).Execute()
		check(err)
		return answer.RedirectTo
	}
	accept := hydra.NewAcceptOAuth2LoginRequest("alice")
	accept.SetRemember(true)
	accept.SetRememberFor(3600)
	accept.SetAcr("1")
	accept.SetAmr([]string{"pwd"})
	accept.SetContext(map[string]any{"from": "login"})
	answer, _, err := api.AcceptOAuth2LoginRequest(s.ctx).LoginChallenge(challenge).AcceptOAuth2LoginRequest(*accept).Execute()
	check(err)
	return answer.RedirectTo
}

func (s *suite) consent(challenge string) string {
	api := s.admin.OAuth2API
	asked, _, err := api.GetOAuth2ConsentRequest(s.ctx).ConsentChallenge(challenge).Execute()
	check(err)
	must(asked.GetSubject() == "alice" && asked.GetAcr() == "1" && asked.GetAmr()[0] == "pwd", "the consent is alice's")
	if s.reject == "consent" {
		answer, _, err := api.RejectOAuth2ConsentRequest(s.ctx).ConsentChallenge(challenge).RejectOAuth2Request(s.refusal()).Execute()
		check(err)
		return answer.RedirectTo
	}
	session := hydra.NewAcceptOAuth2ConsentRequestSession()
	session.SetAccessToken(map[string]any{"tenant": "seven"})
	session.SetIdToken(map[string]any{"email": "alice@example.com"})
	accept := hydra.NewAcceptOAuth2ConsentRequest()
	accept.SetGrantScope(asked.RequestedScope)
	accept.SetGrantAccessTokenAudience(asked.RequestedAccessTokenAudience)
	accept.SetHandledAt(time.Now())
	accept.SetRemember(true)
	accept.SetRememberFor(3600)
	accept.SetSession(*session)
	answer, _, err := api.AcceptOAuth2ConsentRequest(s.ctx).ConsentChallenge(challenge).AcceptOAuth2ConsentRequest(*accept).Execute()
	check(err)
	return answer.RedirectTo
}

func (s *suite) logout(challenge string) string {
	api := s.admin.OAuth2API
	asked, _, err := api.GetOAuth2LogoutRequest(s.ctx).LogoutChallenge(challenge).Execute()
	check(err)
	must(asked.GetSubject() == "alice" && asked.GetSid() != "" && asked.GetRpInitiated(), "the logout is alice's")
	if s.reject == "logout" {
		_, err := api.RejectOAuth2LogoutRequest(s.ctx).LogoutChallenge(challenge).Execute()
		check(err)
		return ""
	}
	answer, _, err := api.AcceptOAuth2LogoutRequest(s.ctx).LogoutChallenge(challenge).Execute()
	check(err)
	return answer.RedirectTo
}

// browse goes where the browser is sent until it comes back to the client.
func (s *suite) browse(to string) url.Values {
	back, err := s.browser.Browse(to)
	check(err)
	return back
}

func (s *suite) authorize(more ...string) url.Values {
	query := url.Values{
		"client_id": {"flows"}, "response_type": {"code"}, "redirect_uri": {redirectURI},
		"scope": {"openid offline_access"}, "state": {state},
	}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return s.browse(os.Getenv("PUBLIC_URL") + "/oauth2/auth?" + query.Encode())
}

func (s *suite) flows() {
	wanted := hydra.NewOAuth2Client()
	wanted.SetClientId("flows")
	wanted.SetGrantTypes([]string{"authorization_code", "refresh_token"})
	wanted.SetResponseTypes([]string{"code"})
	wanted.SetScope("openid offline_access")
	wanted.SetRedirectUris([]string{redirectURI})
	wanted.SetPostLogoutRedirectUris([]string{"http://127.0.0.1:9/logged-out"})
	client, _, err := s.admin.OAuth2API.CreateOAuth2Client(s.ctx).OAuth2Client(*wanted).Execute()
	check(err)
	asClient := context.WithValue(s.ctx, hydra.ContextBasicAuth,
		hydra.BasicAuth{UserName: "flows", Password: url.QueryEscape(client.GetClientSecret())})

	for _, kind := range []string{"login", "consent"} {
		s.reject = kind
		back := s.authorize()
		must(back.Get("error") == "access_denied" && back.Get("state") == state, "a rejected "+kind+" comes back")
	}
	s.reject = ""
	tokens := s.exchange(asClient, s.authorize())
	info, _, err := s.public.OidcAPI.GetOidcUserInfo(context.WithValue(s.ctx, hydra.ContextAccessToken, tokens.GetAccessToken())).Execute()
	check(err)
	must(info.GetSub() == "alice" && info.GetEmail() == "alice@example.com", "userinfo tells of alice")
	told, _, err := s.admin.OAuth2API.IntrospectOAuth2Token(s.ctx).Token(tokens.GetAccessToken()).Scope("openid").Execute()
	check(err)
	must(told.Active && told.GetSub() == "alice" && told.GetClientId() == "flows" && told.GetTokenUse() == "access_token",
		"introspection tells of the token")
	must(told.Ext["tenant"] == "seven" && told.GetExp() > told.GetIat(), "and of its claims")
	refreshed, _, err := s.public.OAuth2API.Oauth2TokenExchange(asClient).GrantType("refresh_token").
		RefreshToken(tokens.GetRefreshToken()).Execute()
	check(err)
	must(refreshed.GetAccessToken() != tokens.GetAccessToken(), "a refresh gives another token")
	_, response, err := s.public.OAuth2API.Oauth2TokenExchange(asClient).GrantType("authorization_code").
		Code("ory_ac_nonsense").RedirectUri(redirectURI).Execute()
	refused(response, err, http.StatusBadRequest)

	s.consents(asClient, refreshed.GetAccessToken())
	s.logouts(asClient)
}

func (s *suite) exchange(asClient context.Context, back url.Values) *hydra.OAuth2TokenExchange {
	must(back.Get("state") == state && back.Get("code") != "", "the browser brings a code: "+back.Encode())
	tokens, _, err := s.public.OAuth2API.Oauth2TokenExchange(asClient).GrantType("authorization_code").
		Code(back.Get("code")).RedirectUri(redirectURI).Execute()
	check(err)
	must(tokens.GetIdToken() != "" && tokens.GetTokenType() == "bearer", "the code is exchanged")
	return tokens
}

func (s *suite) consents(asClient context.Context, token string) {
	api := s.admin.OAuth2API
	listed, _, err := api.ListOAuth2ConsentSessions(s.ctx).Subject("alice").PageSize(10).Execute()
	check(err)
	must(len(listed) > 0, "alice's consents are listed")
	of := listed[0].GetConsentRequest()
	must(of.Client.GetClientId() == "flows" && of.GetSubject() == "alice", "with whom they are for")
	must(len(listed[0].GrantScope) == 2 && listed[0].HandledAt != nil, "and what was granted")
	_, err = api.RevokeOAuth2ConsentSessions(s.ctx).Subject("alice").Client("flows").Execute()
	check(err)
	must(!s.isActive(token), "with its consent, a token ends")
	listed, _, err = api.ListOAuth2ConsentSessions(s.ctx).Subject("alice").Execute()
	check(err)
	must(len(listed) == 0, "no consent is left")
	afterThisSecond()
	tokens := s.exchange(asClient, s.authorize())
	_, err = api.RevokeOAuth2ConsentSessions(s.ctx).Subject("alice").All(true).Execute()
	check(err)
	afterThisSecond()
	must(!s.isActive(tokens.GetAccessToken()), "nor any token")
}

func (s *suite) logouts(asClient context.Context) {
	tokens := s.exchange(asClient, s.authorize())
	end := os.Getenv("PUBLIC_URL") + "/oauth2/sessions/logout?" + url.Values{
		"id_token_hint": {tokens.GetIdToken()}, "state": {state},
		"post_logout_redirect_uri": {"http://127.0.0.1:9/logged-out"},
	}.Encode()
	s.reject = "logout"
	response, err := s.browser.Get(end)
	check(err)
	closed(response)
	s.reject = ""
	must(s.authorize("prompt", "none").Get("code") != "", "after a rejected logout, alice is still logged in")
	must(s.browse(end).Get("state") == state, "an accepted one comes back")
	must(s.authorize("prompt", "none").Get("error") == "login_required", "and nobody is logged in")

	s.exchange(asClient, s.authorize())
	_, err = s.admin.OAuth2API.RevokeOAuth2LoginSessions(s.ctx).Subject("alice").Execute()
	check(err)
	must(s.authorize("prompt", "none").Get("error") == "login_required", "the admin API ends logins too")
}

// afterThisSecond: a revocation hits what begins in its own second, too.
func afterThisSecond() {
	for began := time.Now().Unix(); time.Now().Unix() == began; {
		time.Sleep(10 * time.Millisecond)
	}
}
