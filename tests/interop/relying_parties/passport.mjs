// An application with passport-openidconnect and express-session, without Express: passport is Connect middleware.
// Configuration: JSON on standard input, closed by the end of a line. It serves until standard input ends.
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import session from "express-session";
import passport from "passport";
import OpenIDConnectStrategy from "passport-openidconnect";

const lines = createInterface({ input: process.stdin });
const { issuer, port, clientId, clientSecret } = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
const document = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();

passport.use(
  new OpenIDConnectStrategy(
    {
      issuer: document.issuer,
      authorizationURL: document.authorization_endpoint,
      tokenURL: document.token_endpoint,
      userInfoURL: document.userinfo_endpoint,
      clientID: clientId,
      clientSecret,
      callbackURL: `http://localhost:${port}/cb`,
      scope: ["profile", "email"],
      nonce: true,
      maxAge: 3600,
    },
    // With nine parameters the strategy fetches userinfo too.
    (iss, profile, idProfile, context, idToken, accessToken, refreshToken, params, done) => {
      done(null, { iss, name: profile.displayName, sub: profile.id, idSub: idProfile.id, refresh: Boolean(refreshToken), params: Object.keys(params) });
    },
  ),
);
passport.serializeUser((user, done) => done(null, user));
passport.deserializeUser((user, done) => done(null, user));

const layers = [
  session({ secret: "for this test only", resave: false, saveUninitialized: false }),
  passport.initialize(),
  passport.session(),
];

function answer(request, response) {
  const path = request.originalUrl.split("?")[0];
  const fail = (error) => {
    response.statusCode = 500;
    response.end(JSON.stringify({ failed: error?.message ?? "refused", code: error?.code }));
  };
  if (path === "/login") return passport.authenticate("openidconnect")(request, response, fail);
  if (path === "/cb") {
    return passport.authenticate("openidconnect")(request, response, (error) => {
      if (error) return fail(error);
      response.statusCode = 302;
      response.setHeader("Location", "/");
      response.end();
    });
  }
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(request.user ?? null));
}

createServer((request, response) => {
  request.originalUrl = request.url;
  request.query = Object.fromEntries(new URL(request.url, "http://localhost").searchParams);
  let number = 0;
  const next = (error) => {
    if (error) {
      response.statusCode = 500;
      return response.end(JSON.stringify({ failed: error.message }));
    }
    const layer = layers[number++];
    return layer ? layer(request, response, next) : answer(request, response);
  };
  next();
}).listen(port, "127.0.0.1");
lines.on("close", () => process.exit(0));
