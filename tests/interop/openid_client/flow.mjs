// The whole code flow with openid-client, which is used as it comes. The browser in it is a few lines of fetch.
// Arguments come as JSON on standard input; what was seen leaves as JSON on standard output.
import * as oidc from "openid-client";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { issuer, clientId, clientSecret, redirectUri, postLogoutRedirectUri, username, password } = JSON.parse(
  Buffer.concat(chunks).toString(),
);

const cookies = new Map();
async function visit(url, form) {
  for (;;) {
    const response = await fetch(url, {
      method: form ? "POST" : "GET",
      body: form ? new URLSearchParams(form) : undefined,
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      redirect: "manual",
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (/max-age=0/i.test(cookie)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = response.headers.get("location");
    if (!location) return { page: await response.text(), status: response.status };
    const next = new URL(location, url);
    if (next.origin !== new URL(issuer).origin) return { url: next };
    [url, form] = [next, undefined];
  }
}
async function signIn(url) {
  const first = await visit(url);
  if (first.url) return { url: first.url, asked: false };
  const form = { username, password };
  for (const [, name, value] of first.page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)) form[name] = value;
  return { ...(await visit(new URL("/login", issuer), form)), asked: true };
}

const config = await oidc.discovery(new URL(issuer), clientId, clientSecret, oidc.ClientSecretBasic(clientSecret), {
  execute: [oidc.allowInsecureRequests],
});

async function authorize(extra = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid profile email",
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    nonce: expectedNonce,
    ...extra,
  });
  const { url: callback, asked } = await signIn(url);
  const tokens = await oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true });
  return { tokens, asked };
}

const first = await authorize();
const claims = first.tokens.claims();
const userinfo = await oidc.fetchUserInfo(config, first.tokens.access_token, claims.sub);
const refreshed = await oidc.refreshTokenGrant(config, first.tokens.refresh_token);
const introspection = await oidc.tokenIntrospection(config, refreshed.access_token);
const second = await authorize({ prompt: "none", max_age: "1000" });
const logout = await visit(
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
    refreshedSub: refreshed.claims().sub,
    active: [introspection.active, after.active],
    logout: logout.url?.href,
    silent,
    revoked,
  }),
);
