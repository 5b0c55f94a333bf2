// oauth4webapi: RFC 8414 metadata and the answers, each judged strictly; `iss` on errors, too.
import readline from "node:readline";
import * as oauth from "oauth4webapi";

const [issuer, id, secret, callback] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (value) => console.log(JSON.stringify(value));
const hear = async () => (await lines.next()).value;
const insecure = { [oauth.allowInsecureRequests]: true };

const url = new URL(issuer);
const as = await oauth.processDiscoveryResponse(
  url, await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }),
);
const client = { client_id: id };
const auth = oauth.ClientSecretBasic(secret);

async function asked(scope, prompt) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const address = new URL(as.authorization_endpoint);
  const values = {
    client_id: id, redirect_uri: callback, response_type: "code", scope, state, code_challenge_method: "S256",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), ...(prompt ? { prompt } : {}),
  };
  for (const [name, value] of Object.entries(values)) address.searchParams.set(name, value);
  say({ address: address.href });
  return { back: new URL(await hear()), verifier, state };
}

const refused = await asked("records:manage");
let error;
try {
  oauth.validateAuthResponse(as, client, refused.back, refused.state);
} catch (thrown) {
  error = thrown.error;
}
const { back, verifier, state } = await asked("records:read", "consent");
const params = oauth.validateAuthResponse(as, client, back, state);
const tokens = await oauth.processAuthorizationCodeResponse(
  as, client,
  await oauth.authorizationCodeGrantRequest(as, client, auth, params, callback, verifier, insecure),
);
const answer = await oauth.protectedResourceRequest(
  tokens.access_token, "GET", new URL(`${issuer}/api/v1/records/clients?limit=1`), undefined, undefined, insecure,
);
const next = await oauth.processRefreshTokenResponse(
  as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure),
);
let reused;
try {
  await oauth.processRefreshTokenResponse(
    as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure),
  );
} catch (thrown) {
  reused = thrown.error;
}
const about = await oauth.processIntrospectionResponse(
  as, client, await oauth.introspectionRequest(as, client, auth, next.access_token, insecure),
);
let challenge;
try {
  const gone = await oauth.protectedResourceRequest(
    next.access_token, "GET", new URL(`${issuer}/api/v1/records/clients`), undefined, undefined, insecure,
  );
  challenge = gone.status;
} catch (thrown) {
  challenge = thrown.cause?.[0]?.parameters?.error;
}
say({ error, status: answer.status, scope: tokens.scope, reused, active: about.active, challenge });
process.exit(0);
