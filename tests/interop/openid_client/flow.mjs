// The whole code flow with openid-client, which is used as it comes.
// Arguments come as JSON on standard input; what was seen leaves as JSON on standard output.
import * as oidc from "openid-client";

import { Browser, readInput } from "./browser.mjs";

const { issuer, clientId, clientSecret, redirectUri, postLogoutRedirectUri, username, password } = await readInput();
const browser = new Browser(issuer, username, password);

const config = await oidc.discovery(new URL(issuer), clientId, clientSecret, oidc.ClientSecretBasic(clientSecret), {
  execute: [oidc.allowInsecureRequests],
});

async function authorize(extra = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid profile email roles",
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    nonce: expectedNonce,
    ...extra,
  });
  const { url: callback, asked } = await browser.authorize(url);
  const tokens = await oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true });
  return { tokens, asked };
}

const first = await authorize();
const claims = first.tokens.claims();
const userinfo = await oidc.fetchUserInfo(config, first.tokens.access_token, claims.sub);
const refreshed = await oidc.refreshTokenGrant(config, first.tokens.refresh_token);
const introspection = await oidc.tokenIntrospection(config, refreshed.access_token);
const second = await authorize({ prompt: "none", max_age: "1000" });
const logout = await browser.visit(
  oidc.buildEndSessionUrl(config, { id_token_hint: second.tokens.id_token, post_logout_redirect_uri: postLogoutRedirectUri, state: "bye" }),
);
const after = await oidc.tokenIntrospection(config, refreshed.access_token);
let silent = "";
try {
  await authorize({ prompt: "none" });
} catch (error) {
  silent = error.error;
}
const third = await authorize();
await oidc.tokenRevocation(config, third.tokens.refresh_token);
let revoked = "";
try {
  await oidc.refreshTokenGrant(config, third.tokens.refresh_token);
} catch (error) {
  revoked = error.error;
}
console.log(
  JSON.stringify({
    name: userinfo.name,
    sub: claims.sub,
    asked: [first.asked, second.asked, third.asked],
    roles: [claims.roles, userinfo.roles, introspection.roles],
    refreshedSub: refreshed.claims().sub,
    active: [introspection.active, after.active],
    logout: logout.url?.href,
    silent,
    revoked,
  }),
);
