// What oauth4webapi can do with a provider: registration, signed and pushed requests, private_key_jwt, hybrid, device.
import * as oauth from "oauth4webapi";
import { Browser, readInput } from "./browser.mjs";

const { issuer, initialAccessToken, redirectUri, username, password } = await readInput();
const http = { [oauth.allowInsecureRequests]: true };
const browser = new Browser(issuer, username, password);
const as = await oauth.processDiscoveryResponse(new URL(issuer), await oauth.discoveryRequest(new URL(issuer), http));

const keys = await oauth.generateKeyPair("ES256", { extractable: true });
const jwk = { ...(await crypto.subtle.exportKey("jwk", keys.publicKey)), kid: "one", use: "sig", alg: "ES256" };
delete jwk.key_ops;
delete jwk.ext;
const client = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(
    as,
    {
      client_name: "oauth4webapi",
      redirect_uris: [redirectUri],
      response_types: ["code", "code id_token"],
      grant_types: ["authorization_code", "implicit", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      token_endpoint_auth_method: "private_key_jwt",
      request_object_signing_alg: "ES256",
      userinfo_signed_response_alg: "RS256",
      id_token_signed_response_alg: "PS256",
      jwks: { keys: [jwk] },
    },
    { ...http, initialAccessToken },
  ),
);
const privateKey = { key: keys.privateKey, kid: "one" };
const auth = oauth.PrivateKeyJwt(privateKey);

async function parameters(extra = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const values = {
    response_type: "code",
    redirect_uri: redirectUri,
    scope: "openid profile",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...extra,
  };
  return { verifier, state, nonce, values };
}

async function exchange(callback, verifier, nonce) {
  const response = await oauth.authorizationCodeGrantRequest(as, client, auth, callback, redirectUri, verifier, http);
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(as, response, http);
  return tokens;
}

// A signed request, pushed.
const first = await parameters();
const request = await oauth.issueRequestObject(as, client, first.values, privateKey);
const pushed = await oauth.processPushedAuthorizationResponse(
  as,
  client,
  await oauth.pushedAuthorizationRequest(as, client, auth, { request }, http),
);
let url = new URL(as.authorization_endpoint);
url.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
let answer = await browser.authorize(url);
const tokens = await exchange(oauth.validateAuthResponse(as, client, answer.url, first.state), first.verifier, first.nonce);
const claims = oauth.getValidatedIdTokenClaims(tokens);

// Userinfo as a signed JWT.
const response = await oauth.userInfoRequest(as, client, tokens.access_token, http);
const userinfo = await oauth.processUserInfoResponse(as, client, claims.sub, response);
await oauth.validateApplicationLevelSignature(as, response, http);

// The hybrid flow, with its hashes.
const second = await parameters({ response_type: "code id_token" });
url = new URL(as.authorization_endpoint);
url.search = new URLSearchParams({ client_id: client.client_id, ...second.values });
answer = await browser.authorize(url);
const checked = await oauth.validateCodeIdTokenResponse(as, client, answer.url, second.nonce, second.state, undefined, http);
await exchange(checked, second.verifier, second.nonce);

// A device.
const device = await oauth.processDeviceAuthorizationResponse(
  as,
  client,
  await oauth.deviceAuthorizationRequest(as, client, auth, { scope: "openid profile" }, http),
);
let pending = "";
try {
  await oauth.processDeviceCodeResponse(as, client, await oauth.deviceCodeGrantRequest(as, client, auth, device.device_code, http));
} catch (error) {
  pending = error.error;
}
const page = await browser.visit(new URL(device.verification_uri_complete));
await browser.submit(page.page, { choice: "allow" });
const onDevice = await oauth.processDeviceCodeResponse(
  as,
  client,
  await oauth.deviceCodeGrantRequest(as, client, auth, device.device_code, http),
);

const refreshed = await oauth.processRefreshTokenResponse(
  as,
  client,
  await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, http),
);
const active = (
  await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, refreshed.access_token, http))
).active;
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, refreshed.refresh_token, http));
const after = (
  await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, refreshed.access_token, http))
).active;

console.log(
  JSON.stringify({ name: userinfo.name, sub: claims.sub, pending, device: typeof onDevice.id_token, active: [active, after] }),
);
