// openid-client 4 and 5 with private_key_jwt: registration, pushed request, sign-in, refresh, userinfo, introspection,
// revocation. Input: JSON on standard input. Output: JSON on standard output, with one member for each case.
import { generateKeyPairSync } from "node:crypto";

import * as four from "openid-client-4";
import * as five from "openid-client-5";
import * as fiveArray from "openid-client-5-array";

import { Browser, readInput } from "../openid_client/browser.mjs";

for (const { custom } of [four, five, fiveArray]) custom.setHttpOptionsDefaults({ timeout: 60_000 });
const { issuer, redirectUri, username, password, invitations } = await readInput();
const browser = new Browser(issuer, username, password);

function keySet(alg) {
  const { privateKey } = alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "one", alg, use: "sig" }] };
}
const keys = { RS256: keySet("RS256"), ES256: keySet("ES256") };
// The setting for a client with the profile "standard": one audience instead of the list that older versions make.
const setting = { clientAssertionPayload: { aud: issuer } };

async function flow({ Issuer, generators }, profile, alg, extra) {
  const found = await Issuer.discover(issuer);
  const client = await found.Client.register(
    {
      client_name: `openid-client ${alg}`,
      redirect_uris: [redirectUri],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: alg,
      introspection_endpoint_auth_method: "private_key_jwt",
      revocation_endpoint_auth_method: "private_key_jwt",
      scope: "openid profile",
    },
    { jwks: keys[alg], initialAccessToken: invitations[profile] },
  );
  const verifier = generators.codeVerifier();
  const [state, nonce] = [generators.state(), generators.nonce()];
  const asked = { redirect_uri: redirectUri, scope: "openid profile", state, nonce, code_challenge: generators.codeChallenge(verifier), code_challenge_method: "S256" };
  const pushed = await client.pushedAuthorizationRequest(asked, extra);
  const { url } = await browser.authorize(client.authorizationUrl({ request_uri: pushed.request_uri }));
  const checks = { state, nonce, code_verifier: verifier, response_type: "code" };
  const tokens = await client.callback(redirectUri, client.callbackParams(url.href), checks, extra);
  const userinfo = await client.userinfo(tokens);
  const refreshed = await client.refresh(tokens, extra);
  const before = await client.introspect(refreshed.access_token, "access_token", extra);
  await client.revoke(refreshed.refresh_token, "refresh_token", extra);
  const after = await client.introspect(refreshed.access_token, "access_token", extra);
  return { name: userinfo.name, active: [before.active, after.active] };
}

const cases = {
  "4.9.1 legacy": [four, "legacy", "RS256", {}],
  "4.9.1 standard": [four, "standard", "ES256", setting],
  "5.7.0 legacy": [fiveArray, "legacy", "RS256", {}],
  "5.7.0 standard": [fiveArray, "standard", "ES256", setting],
  "5.7.1 standard": [five, "standard", "RS256", {}],
};
const seen = {};
for (const [name, [library, ...how]] of Object.entries(cases)) {
  try {
    seen[name] = await flow(library, ...how);
  } catch (error) {
    seen[name] = { failed: `${error.message} ${JSON.stringify(error.response?.body ?? "")}` };
  }
}
console.log(JSON.stringify(seen));
