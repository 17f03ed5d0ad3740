// A relying party made with openid-client.
import assert from "node:assert/strict";
import { CookieJar } from "tough-cookie";
import * as oidc from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, ROTATE_URL } = process.env;
const scope = "openid offline_access email";

const jar = new CookieJar();

/** One request of the browser. */
async function get(url) {
  const response = await fetch(url, { redirect: "manual", headers: { cookie: await jar.getCookieString(url) } });
  for (const cookie of response.headers.getSetCookie()) await jar.setCookie(cookie, url);
  return response;
}

/** Goes where the browser is sent until it comes back to the relying party, or to a page. */
async function browse(start) {
  let url = new URL(start);
  for (let step = 0; step < 20; step++) {
    if (url.port === "9") return url;
    const response = await get(url.href);
    const location = response.headers.get("location");
    if (!location) return response;
    url = new URL(location, url);
  }
  assert.fail("the browser goes round in circles");
}

// The library takes an ID token from the token endpoint on trust, unless it is told to look at the signature.
const discover = () =>
  oidc.discovery(
    new URL(ISSUER),
    CLIENT_ID,
    { client_secret: CLIENT_SECRET },
    oidc.ClientSecretBasic(CLIENT_SECRET),
    { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] },
  );
let config = await discover();

async function login() {
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const request = oidc.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope,
    state,
    nonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const tokens = await oidc.authorizationCodeGrant(config, await browse(request), {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  });
  assert.equal(tokens.claims().sub, "alice");
  return tokens;
}

const keyId = (tokens) => JSON.parse(Buffer.from(tokens.id_token.split(".")[0], "base64url")).kid;
const isActive = async (token) => (await oidc.tokenIntrospection(config, token)).active;

const first = await login();
const info = await oidc.fetchUserInfo(config, first.access_token, "alice");
assert.equal(info.email, "alice@example.com");

assert.equal((await fetch(ROTATE_URL, { method: "POST" })).status, 204);
// A key that signs without having been published before: the library asks for keys once a minute at most.
config = await discover();
const second = await login();
assert.notEqual(keyId(first), keyId(second), "the keys have turned");

const refreshed = await oidc.refreshTokenGrant(config, second.refresh_token);
assert.notEqual(refreshed.refresh_token, second.refresh_token);
assert.ok(await isActive(refreshed.access_token));
await oidc.tokenRevocation(config, refreshed.refresh_token);
assert.ok(!(await isActive(refreshed.access_token)), "with its grant, a token ends");
await assert.rejects(oidc.refreshTokenGrant(config, refreshed.refresh_token), { error: "invalid_grant" });

const device = await oidc.initiateDeviceAuthorization(config, { scope: "openid" });
const polled = oidc.pollDeviceAuthorizationGrant(config, device);
const page = await browse(device.verification_uri_complete);
assert.equal(page.status, 200, "the device's login ends on a page");
assert.equal((await polled).claims().sub, "alice");

const end = oidc.buildEndSessionUrl(config, {
  id_token_hint: first.id_token,
  post_logout_redirect_uri: "http://127.0.0.1:9/logged-out",
  state: "back-again",
});
assert.equal((await browse(end)).href, "http://127.0.0.1:9/logged-out?state=back-again");
const silent = oidc.buildAuthorizationUrl(config, { redirect_uri: REDIRECT_URI, scope, state: "some-state", prompt: "none" });
assert.equal((await browse(silent)).searchParams.get("error"), "login_required");
console.log("node: ok");
