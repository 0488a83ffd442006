// openid-client 4 and 5 with private_key_jwt: registration, sign-in, refresh, userinfo, introspection, revocation.
// Each version registers twice: with the profile "legacy", and with "standard" and the documented setting.
// Input: JSON on standard input. Output: JSON on standard output, with one member for each registration.
import { generateKeyPairSync } from "node:crypto";

import * as four from "openid-client-4";
import * as five from "openid-client-5";
import * as fiveArray from "openid-client-5-array";

import { Browser, readInput } from "../openid_client/browser.mjs";

const { issuer, redirectUri, username, password, invitations } = await readInput();
const versions = { "4.9.1": four, "5.7.0": fiveArray, "5.7.1": five };
const browser = new Browser(issuer, username, password);

function keySet(alg, kid) {
  const { privateKey } = alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" }] };
}

async function flow({ Issuer, generators }, profile, alg) {
  const found = await Issuer.discover(issuer);
  // The setting for a client with the profile "standard": one audience instead of the list that the library makes.
  const setting = profile === "standard" ? { clientAssertionPayload: { aud: found.issuer } } : {};
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
    { jwks: keySet(alg, "one"), initialAccessToken: invitations[profile] },
  );
  const verifier = generators.codeVerifier();
  const [state, nonce] = [generators.state(), generators.nonce()];
  const asked = { redirect_uri: redirectUri, scope: "openid profile", state, nonce, code_challenge: generators.codeChallenge(verifier), code_challenge_method: "S256" };
  const pushed = client.pushedAuthorizationRequest ? await client.pushedAuthorizationRequest(asked, setting) : undefined;
  const address = client.authorizationUrl(pushed ? { request_uri: pushed.request_uri } : asked);
  const { url } = await browser.authorize(address);
  const checks = { state, nonce, code_verifier: verifier, response_type: "code" };
  const tokens = await client.callback(redirectUri, client.callbackParams(url.href), checks, setting);
  const userinfo = await client.userinfo(tokens);
  const refreshed = await client.refresh(tokens, setting);
  const before = await client.introspect(refreshed.access_token, "access_token", setting);
  await client.revoke(refreshed.refresh_token, "refresh_token", setting);
  const after = await client.introspect(refreshed.access_token, "access_token", setting);
  return { name: userinfo.name, pushed: Boolean(pushed), active: [before.active, after.active] };
}

const seen = {};
for (const [version, library] of Object.entries(versions)) {
  for (const [profile, alg] of [["legacy", "RS256"], ["standard", "ES256"]]) {
    try {
      seen[`${version} ${profile}`] = await flow(library, profile, alg);
    } catch (error) {
      seen[`${version} ${profile}`] = { failed: `${error.message} ${error.response?.body ? JSON.stringify(error.response.body) : ""}` };
    }
  }
}
console.log(JSON.stringify(seen));
