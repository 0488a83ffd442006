// node-oidc-provider as in production: PostgreSQL, ES256, refresh rotation, passwords by argon2id (64 MiB, 3 passes).
// Environment: PORT, DATABASE_URL, REDIRECT, SECRET (of both clients), PASSWORD (of every user). Access tokens for userinfo are opaque (the library's rule
// for tokens without a resource); those of client credentials are JWTs for the default resource.
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
const require = createRequire(process.cwd() + '/');
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const pg = require('pg'), argon2 = require('argon2');

const port = Number(process.env.PORT), issuer = `http://localhost:${port}`;
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
await pool.query(`CREATE TABLE IF NOT EXISTS oidc (model text, id text, payload jsonb NOT NULL, grant_id text, uid text, user_code text,
  expires_at timestamptz, consumed_at timestamptz, PRIMARY KEY (model, id))`);
for (const column of ['grant_id', 'uid', 'user_code']) await pool.query(`CREATE INDEX IF NOT EXISTS oidc_${column} ON oidc (${column}) WHERE ${column} IS NOT NULL`);
await pool.query('CREATE TABLE IF NOT EXISTS keys (id int PRIMARY KEY, jwk jsonb NOT NULL)');
await pool.query('CREATE TABLE IF NOT EXISTS people (username text PRIMARY KEY, name text NOT NULL, email text NOT NULL, hash text NOT NULL)');

const query = (name, text, values) => pool.query({ name, text, values });
const read = (r) => r.rows[0] && { ...r.rows[0].payload, ...(r.rows[0].consumed_at ? { consumed: Math.floor(r.rows[0].consumed_at / 1000) } : {}) };
const NOT_EXPIRED = '(expires_at IS NULL OR expires_at > now())';
class Postgres {
  constructor(model) { this.model = model; }
  async upsert(id, payload, seconds) {
    await query('upsert', `INSERT INTO oidc (model, id, payload, grant_id, uid, user_code, expires_at) VALUES ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second')
      ON CONFLICT (model, id) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id, uid = excluded.uid, user_code = excluded.user_code, expires_at = excluded.expires_at`,
      [this.model, id, JSON.stringify(payload), payload.grantId ?? null, payload.uid ?? null, payload.userCode ?? null, seconds ?? null]);
  }
  async find(id) { return read(await query('find', `SELECT payload, consumed_at FROM oidc WHERE model = $1 AND id = $2 AND ${NOT_EXPIRED}`, [this.model, id])); }
  async findByUid(uid) { return read(await query('uid', `SELECT payload, consumed_at FROM oidc WHERE model = $1 AND uid = $2 AND ${NOT_EXPIRED}`, [this.model, uid])); }
  async findByUserCode(code) { return read(await query('user_code', `SELECT payload, consumed_at FROM oidc WHERE model = $1 AND user_code = $2 AND ${NOT_EXPIRED}`, [this.model, code])); }
  async consume(id) { await query('consume', 'UPDATE oidc SET consumed_at = now() WHERE model = $1 AND id = $2', [this.model, id]); }
  async destroy(id) { await query('destroy', 'DELETE FROM oidc WHERE model = $1 AND id = $2', [this.model, id]); }
  async revokeByGrantId(grant) { await query('revoke', 'DELETE FROM oidc WHERE grant_id = $1', [grant]); }
}

const generated = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'es256' };
await pool.query('INSERT INTO keys VALUES (1, $1) ON CONFLICT DO NOTHING', [generated]);
const { rows: [{ jwk }] } = await pool.query('SELECT jwk FROM keys WHERE id = 1');
createPrivateKey({ key: jwk, format: 'jwk' });
const hash = await argon2.hash(process.env.PASSWORD, { type: argon2.argon2id, memoryCost: 65536, timeCost: 3, parallelism: 1 });
for (let i = 0; i < 16; i++) await pool.query('INSERT INTO people VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [`siti${i}`, `Siti ${i}`, `siti${i}@warga.example`, hash]);
const person = async (username) => (await query('person', 'SELECT * FROM people WHERE username = $1', [username])).rows[0];

const RESOURCE = 'https://api.kota.example';
const client = (id, secret, more) => ({ client_id: id, client_secret: secret, id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'client_secret_basic', ...more });
const provider = new Provider(issuer, {
  adapter: Postgres,
  jwks: { keys: [jwk] },
  cookies: { keys: ['a-key-of-this-benchmark-only-0123456789'] },
  clients: [
    client('bench', process.env.SECRET, { redirect_uris: [process.env.REDIRECT], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }),
    client('bench-machine', process.env.SECRET, { redirect_uris: [], grant_types: ['client_credentials'], response_types: [] }),
  ],
  scopes: ['openid', 'profile', 'email', 'offline_access', 'write'],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
  features: {
    devInteractions: { enabled: false }, clientCredentials: { enabled: true }, introspection: { enabled: true, allowedPolicy: () => true }, revocation: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: (ctx) => (ctx.oidc.body?.grant_type === 'client_credentials' ? RESOURCE : undefined), useGrantedResource: () => false,
      getResourceServerInfo: () => ({ scope: 'write', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } }, accessTokenTTL: 600 }) },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, one) => one.grantTypeAllowed('refresh_token'),
  ttl: { AccessToken: 600, ClientCredentials: 600, IdToken: 600, RefreshToken: 30 * 86400, Session: 86400, Grant: 30 * 86400, Interaction: 1800, AuthorizationCode: 60 },
  interactions: { url: (ctx, one) => `/interaction/${one.uid}` },
  // First-party clients: users are not asked for consent.
  async loadExistingGrant(ctx) {
    const id = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (id) return ctx.oidc.provider.Grant.find(id);
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile email offline_access');
    await grant.save();
    return grant;
  },
  findAccount: async (ctx, id) => {
    const one = await person(id);
    return one && { accountId: id, claims: () => ({ sub: id, name: one.name, preferred_username: id, email: one.email, email_verified: true }) };
  },
});
provider.use(async (ctx, next) => {
  const uid = /^\/interaction\/([\w-]+)$/.exec(ctx.path)?.[1];
  if (!uid) return next();
  if (ctx.method === 'GET') {
    await provider.interactionDetails(ctx.req, ctx.res);
    ctx.type = 'html';
    ctx.body = `<!doctype html><form method="post"><input name="username"><input type="password" name="password"><button>Sign in</button></form>`;
    return undefined;
  }
  let body = '';
  for await (const part of ctx.req) body += part;
  const fields = new URLSearchParams(body), one = await person(fields.get('username'));
  if (!one || !await argon2.verify(one.hash, fields.get('password'))) { ctx.status = 401; ctx.body = 'wrong user name or password'; return undefined; }
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: one.username, remember: true } });
  ctx.respond = false;
  return undefined;
});
provider.on('server_error', (ctx, error) => console.error(error));
provider.listen(port, '127.0.0.1', () => console.log('listening', port));
