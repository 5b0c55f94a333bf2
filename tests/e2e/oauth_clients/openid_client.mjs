// openid-client: discovery, code with PKCE, id token, user info, refresh, introspection, revocation, device.
import readline from "node:readline";
import * as client from "openid-client";

const [issuer, id, secret, callback] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (value) => console.log(JSON.stringify(value));
const hear = async () => (await lines.next()).value;

const config = await client.discovery(new URL(issuer), id, secret, undefined, {
  execute: [client.allowInsecureRequests],
});
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const address = client.buildAuthorizationUrl(config, {
  redirect_uri: callback,
  scope: "openid profile email records:read",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
});
say({ address: address.href });
const tokens = await client.authorizationCodeGrant(config, new URL(await hear()), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
});
const claims = tokens.claims();
const person = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const answer = await client.fetchProtectedResource(
  config, tokens.access_token, new URL(`${issuer}/api/v1/records/clients?limit=1`), "GET",
);
const next = await client.refreshTokenGrant(config, tokens.refresh_token);
const about = await client.tokenIntrospection(config, next.access_token);
await client.tokenRevocation(config, next.refresh_token);
const after = await client.tokenIntrospection(config, next.access_token);
say({ claims, person, status: answer.status, active: about.active, after: after.active });

const device = await client.initiateDeviceAuthorization(config, { scope: "records:read" });
say({ page: device.verification_uri, code: device.user_code });
const polled = await client.pollDeviceAuthorizationGrant(config, device);
const own = await client.clientCredentialsGrant(config, { scope: "records:read" });
say({ device: typeof polled.access_token, own: typeof own.access_token });
process.exit(0);
