"""A relying party made with Authlib."""

import os
import sys
import time
import urllib.parse

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

ISSUER = os.environ["ISSUER"]
REDIRECT_URI = os.environ["REDIRECT_URI"]
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def must(holds, what):
    if not holds:
        sys.exit(f"python: it does not hold that {what}")


class RelyingParty:
    def __init__(self):
        self.metadata = requests.get(f"{ISSUER}/.well-known/openid-configuration").json()
        self.browser = requests.Session()
        self.session = OAuth2Session(
            os.environ["CLIENT_ID"],
            os.environ["CLIENT_SECRET"],
            scope="openid offline_access email",
            redirect_uri=REDIRECT_URI,
            code_challenge_method="S256",
            token_endpoint=self.metadata["token_endpoint"],
        )

    def browse(self, url):
        """Goes where the browser is sent until it comes back to the relying party."""
        for _ in range(20):
            response = self.browser.get(url, allow_redirects=False)
            must(response.is_redirect, f"{url} leads on: {response.status_code} {response.text}")
            url = urllib.parse.urljoin(url, response.headers["Location"])
            if urllib.parse.urlparse(url).port == 9:
                return url
        sys.exit("python: the browser goes round in circles")

    def login(self):
        verifier, nonce = generate_token(48), generate_token(20)
        url, state = self.session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
        )
        token = self.session.fetch_token(
            authorization_response=self.browse(url), state=state, code_verifier=verifier
        )
        claims, header = self.verify(token, nonce)
        must(claims["sub"] == "alice", "the ID token is alice's")
        return token, header["kid"]

    def verify(self, token, nonce=None):
        keys = KeySet.import_key_set(requests.get(self.metadata["jwks_uri"]).json())
        decoded = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
        options = {
            "iss": {"essential": True, "value": self.metadata["issuer"]},
            "aud": {"essential": True, "value": self.session.client_id},
        }
        params = {"nonce": nonce, "access_token": token["access_token"], "client_id": self.session.client_id}
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(now=time.time())
        return claims, decoded.header

    def is_active(self, token):
        answer = self.session.introspect_token(self.metadata["introspection_endpoint"], token=token)
        return answer.json()["active"]

    def userinfo(self):
        return self.session.get(self.metadata["userinfo_endpoint"]).json()

    def device(self):
        client = (self.session.client_id, self.session.client_secret)
        device = requests.post(
            self.metadata["device_authorization_endpoint"], {"scope": "openid"}, auth=client
        ).json()
        pending = self.poll(device, client)
        must(pending.get("error") == "authorization_pending", f"nobody has agreed yet: {pending}")
        end = self.browser.get(device["verification_uri_complete"])
        must(end.ok, f"the device's login ends on a page: {end.status_code}")
        time.sleep(device["interval"])
        token = self.poll(device, client)
        must(self.verify(token)[0]["sub"] == "alice", "the device is alice's")

    def poll(self, device, client):
        form = {"grant_type": DEVICE_CODE, "device_code": device["device_code"]}
        return requests.post(self.metadata["token_endpoint"], form, auth=client).json()

    def logout(self, id_token):
        query = {
            "id_token_hint": id_token,
            "post_logout_redirect_uri": "http://127.0.0.1:9/logged-out",
            "state": "back-again",
        }
        back = self.browse(f"{self.metadata['end_session_endpoint']}?{urllib.parse.urlencode(query)}")
        must(back.endswith("/logged-out?state=back-again"), f"the logout comes back: {back}")
        url, _ = self.session.create_authorization_url(self.metadata["authorization_endpoint"], prompt="none")
        must("error=login_required" in self.browse(url), "nobody is logged in")


def main():
    party = RelyingParty()
    first, before = party.login()
    must(party.userinfo()["email"] == "alice@example.com", "userinfo tells of alice")
    must(requests.post(os.environ["ROTATE_URL"]).ok, "the keys can be turned")
    second, after = party.login()
    must(before != after, "the keys have turned")
    party.verify(first)

    refreshed = party.session.refresh_token(refresh_token=second["refresh_token"])
    must(refreshed["refresh_token"] != second["refresh_token"], "a refresh gives another refresh token")
    party.verify(refreshed)
    must(party.is_active(refreshed["access_token"]), "the new token is active")
    revoked = party.session.revoke_token(
        party.metadata["revocation_endpoint"], token=refreshed["refresh_token"]
    )
    must(revoked.ok, "a token can be revoked")
    must(not party.is_active(refreshed["access_token"]), "with its grant, a token ends")
    try:
        party.session.refresh_token(refresh_token=refreshed["refresh_token"])
        sys.exit("python: a revoked token is taken")
    except OAuthError as refused:
        must(refused.error == "invalid_grant", f"a revoked token is refused as such: {refused}")

    party.device()
    party.logout(first["id_token"])
    print("python: ok")


main()
