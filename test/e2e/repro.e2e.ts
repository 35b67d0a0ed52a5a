/** The tickets of docs/examples, each by its own command, on one kept cluster. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { parse } from "shell-quote";
import { findSecrets } from "../../cli/find-secrets.ts";
import { againstFile } from "../../harness/model/against.ts";
import type { Cause } from "../../harness/model/cause.ts";
import { reproFile } from "../../harness/model/ticket.ts";
import { describeCause } from "../../reports/words.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const TICKETS = path.join(ROOT, "docs/examples/tickets");
const NAME = `repro-${process.pid}`;

/** What each ticket must come to: the cause, and the first row of its matrix by column. */
const TICKET_ANSWERS: Readonly<
  Record<string, { kind: Cause["kind"]; cause: RegExp; matrix: Readonly<Record<string, string>>; met: boolean }>
> = {
  "jwks-not-fetched": {
    kind: "keys-not-fetched",
    cause: /^The keys of https:\/\/my-outside-cluster-host\.com\/oidc could not be fetched: .*placeholder key/,
    matrix: { "GET /": "200 401 401 401 401 401 401 401" },
    met: false,
  },
  audience: {
    kind: "policy-audience",
    cause: /^The token is valid, but AuthorizationPolicy shop\/audiences compares its audience \["aud3"\]/,
    matrix: { "GET /": "403 403 403 401 401 403 401 401" },
    met: false,
  },
  selector: {
    kind: "selects-no-pod",
    cause:
      /^AuthorizationPolicy shop\/demo selects none of the pods: it has selector app=demo, and the pods have app=demo-primary/,
    matrix: { "GET /": "200" },
    met: false,
  },
  "multiple-slashes": {
    kind: "path-bypass",
    cause: /^The path bypasses the policy: the proxy compares it as \/\/admin .*while \/admin, .*gets 403/,
    matrix: { "GET //admin": "200", "GET /admin": "403" },
    met: false,
  },
  "health-check": {
    kind: "path-not-exempt",
    cause:
      /^AuthorizationPolicy istio-system\/frontend-ingress-whitelist denies every path .*\/healthz is not among them/,
    matrix: { "GET /healthz": "403 200 401 401 200 401 401" },
    met: false,
  },
  "boolean-claim": {
    kind: "decision",
    cause: /^No rule of an ALLOW policy matches the request \(AuthorizationPolicy default\/ap\)/,
    matrix: { "GET /live": "403 403 403 401 401 403 401 401" },
    met: false,
  },
  "host-with-port": {
    kind: "decision",
    cause:
      /^No rule of an ALLOW policy matches the request at the gateway istio-system\/istio-ingressgateway \(AuthorizationPolicy istio-system\/allow\)/,
    matrix: { "GET /": "403" },
    met: false,
  },
  "star-inside": {
    kind: "decision",
    cause:
      /^No rule of an ALLOW policy matches the request at the gateway istio-system\/istio-ingressgateway \(AuthorizationPolicy istio-system\/require-jwt\)/,
    matrix: { "GET /service/123health": "403" },
    met: false,
  },
  "claim-header": {
    kind: "decision",
    cause: /^No rule of an ALLOW policy matches the request \(AuthorizationPolicy demo\/need-user\)/,
    matrix: { "GET /": "403 403 401 401 403 401 401" },
    met: false,
  },
  "service-entry": {
    kind: "leaves-mesh",
    cause: /^The request goes through: abc\.externalservice\.com is outside of the mesh/,
    matrix: { "GET /": "200" },
    met: false,
  },
};

const AUDIENCE = (jwks: string): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec:
  selector: { matchLabels: { app: shop } }
  jwtRules:
    - issuer: https://login.example.com/
      audiences: [orders]
      jwks: '${jwks}'
`;

/** What health-check can do without. */
const NOISE = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-admin, namespace: istio-system }
spec:
  selector: { matchLabels: { istio: ingressgateway } }
  action: DENY
  rules: [{ to: [{ operation: { paths: ["/admin"] } }] }]
`;

/** Envoy 1.36.5 and 1.37.1 compare each value of a repeated header by itself; before, both as one text. */
const REPEATED_HEADER = `
apiVersion: v1
kind: Service
metadata: { name: api, namespace: prod }
spec: { selector: { app: api }, ports: [{ name: http, port: 80 }] }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-admins, namespace: prod }
spec: { action: DENY, rules: [{ when: [{ key: "request.headers[x-role]", values: [admin] }] }] }
`;

describe("repro", () => {
  let folder: string;
  const meshproof = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args], {
      ...{ cwd: ROOT, reject: false },
      env: { MESHPROOF_SECRETS_FILE: path.join(folder, "secrets.txt") },
    });
  const repro = (...args: string[]) =>
    meshproof("repro", ...args, "--name", NAME, "--results", path.join(folder, "pages"));
  const filesIn = async (root: string): Promise<string[]> => {
    const written = await readdir(root, { recursive: true, withFileTypes: true });
    return written.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  };

  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-repro-"))));
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

  it("has an answer for every ticket of the docs", async () =>
    assert.deepEqual(await readdir(TICKETS), Object.keys(TICKET_ANSWERS).sort()));

  for (const [ticket, { kind, cause, matrix, met }] of Object.entries(TICKET_ANSWERS))
    it(`says what is the matter with ${ticket}`, async () => {
      const command = (await readFile(path.join(TICKETS, ticket, "command.sh"), "utf8")).replaceAll("\\\n", " ");
      const [, , ...args] = parse(command).filter((word) => typeof word === "string" && word !== "") as string[];
      const { exitCode, stdout, stderr } = await repro(...args, "--json");
      assert.equal(exitCode, met ? 0 : 1, stderr);
      const answer = reproFile.parse(JSON.parse(stdout));
      assert.equal(answer.cause.kind, kind);
      assert.match(describeCause(answer.cause), cause);
      assert.deepEqual(answer.expected?.met, met);
      const rows = answer.matrix.rows.map(({ request, cells }) => [
        request,
        cells.map(({ status }) => status).join(" "),
      ]);
      assert.deepEqual(Object.fromEntries(rows), matrix);
      assert.match(answer.versions["istio"] ?? "", /^\d/);
      assert.ok(answer.reproduced && answer.differences.length > 0);
      assert.ok(answer.applied.length > 0 && answer.applied.every(({ yaml }) => yaml !== ""));
      const page = path.join(folder, "pages", answer.id);
      assert.deepEqual(JSON.parse(await readFile(path.join(page, "repro.json"), "utf8")), answer);
      assert.match(await readFile(path.join(page, "repro.html"), "utf8"), /<h2 class="cause">/);
    });

  it("answers the tickets made up for tests, and refuses what it cannot reproduce", async () => {
    const pages = path.join(folder, "checked");
    const { exitCode, stdout, stderr } = await meshproof(
      ...["repro", "--check", path.join(ROOT, "test/tickets"), "--name", NAME, "--results", pages],
    );
    assert.equal(exitCode, 0, stdout + stderr);
    assert.match(stdout, /^\d+ tickets: \d+ right, 0 wrong, 0 refused, 0 error, 0 unread$/m);
    assert.doesNotMatch(
      (await Promise.all((await filesIn(pages)).map((file) => readFile(file, "utf8")))).join(),
      /9d8f/,
    );
  });

  it("ends with exit code 4 where it does not reproduce, and says what to do", async () => {
    const ticket = path.join(ROOT, "test/tickets/strict-caller-open");
    const { exitCode, stdout } = await repro(ticket, "--request", "GET http://basket.sales/");
    assert.equal(exitCode, 4);
    assert.match(stdout, /^Not reproduced: [^]*without a sidecar[^]*To do: say who sends, by --from/);
  });

  it("asks two versions of Istio, and says what they answer differently", async () => {
    const ticket = path.join(folder, "since.yaml");
    await writeFile(ticket, REPEATED_HEADER);
    const pages = path.join(folder, "against");
    const { exitCode, stdout, stderr } = await meshproof(
      ...[
        "repro",
        ticket,
        "--request",
        "GET http://api.prod/",
        "--header",
        "x-role: user",
        "--header",
        "x-role: admin",
      ],
      ...["--against", "1.30@1.36", "--against", "1.31@1.40", "--json", "--results", pages],
    );
    assert.equal(exitCode, 1, stderr);
    const { versions, id, columns, given } = againstFile.parse(JSON.parse(stdout));
    const answers = versions.map(({ answer }) => `${answer?.verdict.status} ${answer?.verdict.by}`);
    assert.deepEqual([answers, columns, given], [["200 workload", "403 authorization"], ["none"], "none"]);
    const files = ["1.30-1.36/repro.html", "1.31-1.40/repro.html", "against.html", "against.json"];
    for (const file of files) assert.ok((await filesIn(pages)).includes(path.join(pages, id, file)), file);
  });

  it("drops what is needless for the answer, keeps what decides, and exports what is left", async () => {
    const noise = path.join(folder, "noise.yaml");
    const kept = path.join(folder, "minimized");
    await writeFile(noise, NOISE);
    const { exitCode, stdout, stderr } = await repro(
      ...[path.join(TICKETS, "health-check"), noise, "--request", "GET /healthz"],
      ...["--minimize", "--export", kept, "--json"],
    );
    assert.equal(exitCode, 0, stderr);
    const { minimized, cause, matrix } = reproFile.parse(JSON.parse(stdout));
    assert.match(describeCause(cause), TICKET_ANSWERS["health-check"]!.cause);
    assert.equal(matrix.rows[0]?.cells[0]?.status, 403);
    assert.deepEqual([...(minimized?.dropped ?? [])].sort(), [
      "AuthorizationPolicy istio-system/frontend-ingress-whitelist rules[0].when",
      "AuthorizationPolicy istio-system/no-admin",
      "RequestAuthentication istio-system/jwt",
    ]);
    assert.deepEqual([minimized?.confirmed, minimized?.complete], [true, true]);
    assert.match(minimized?.yaml ?? "", /name: frontend-ingress-whitelist[^]*notPaths:\n\s+- \/test\/\*\n$/);
    const exported = (await readdir(kept, { recursive: true })).filter((name) =>
      /scenarios\/jwt|scenarios\/ticket/.test(name),
    );
    const texts = await Promise.all(
      exported.filter((name) => name.endsWith(".yaml")).map((name) => readFile(path.join(kept, name), "utf8")),
    );
    assert.match(texts.join("\n"), /frontend-ingress-whitelist/);
    assert.doesNotMatch(texts.join("\n"), /no-admin|request\.auth/);
  });

  it("leaves a ticket on a kept cluster, so that the commands of its page work, until something else is asked there", async () => {
    const shop = path.join(TICKETS, "audience");
    const claims = '{"iss":"https://login.example.com/","sub":"somebody","aud":["aud3"]}';
    const { stdout } = await repro(shop, "--request", "GET /", "--claims", claims, "--json");
    const { matrix } = reproFile.parse(JSON.parse(stdout));
    for (const { status, curl } of matrix.rows[0]?.cells ?? []) {
      const again = await execa("sh", ["-c", curl], { cwd: ROOT, reject: false });
      assert.match(again.stdout, new RegExp(`^HTTP/1.1 ${status} `), curl + again.stderr);
    }
    const left = async () =>
      (
        await meshproof(
          ...["kubectl", "--name", NAME, "get", "service,deployment,authorizationpolicy,secret", "-A", "-o", "name"],
        )
      ).stdout;
    assert.match(await left(), /authorizationpolicy\S*\/audiences$/m);
    const run = await meshproof(
      ...["run", "jwt/request-authentication-alone", "--name", NAME, "--results", path.join(folder, "a-run")],
    );
    assert.equal(run.exitCode, 0, run.stdout + run.stderr);
    assert.match(await left(), /\/nginx-proxy$/m);
    assert.doesNotMatch(await left(), /\/audiences$|\/ticket-|meshproof-ticket/m);
  });

  it("names the audience, and keeps neither the token's signature nor a key of the ticket", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: "theirs" };
    const token = await new SignJWT({ iss: "https://login.example.com/", aud: "billing", sub: "somebody" })
      .setProtectedHeader({ alg: "RS256", kid: "theirs" })
      .setIssuedAt(1_600_000_000)
      .setExpirationTime(1_600_000_300)
      .sign(privateKey);
    await writeFile(path.join(folder, "shop.yaml"), AUDIENCE(JSON.stringify({ keys: [jwk] })));
    await writeFile(path.join(folder, "token.jwt"), token);
    const kept = path.join(folder, "kept");
    const request = [
      "--request",
      "GET /orders",
      "--token",
      `@${path.join(folder, "token.jwt")}`,
      "--expect",
      "403",
      "--seen",
      "403",
    ];
    const done = await repro(path.join(folder, "shop.yaml"), ...request, "--export", kept);
    assert.equal(done.exitCode, 0, done.stderr);
    assert.match(
      done.stdout,
      /^The token is valid, but its audience \["billing"\] is not among \["orders"\], so jwt_authn answers 403\.\n/,
    );
    assert.match(done.stdout, /^GET \/orders +200 +403 +401 +200 +401 +401 +403 +401 +401$/m);
    assert.match(done.stdout, /issuer https:\/\/login\.example\.com\/ has keys of meshproof .* kid theirs \(RS256\)/);

    const secrets = [token.split(".")[2]!, jwk.n!];
    assert.ok(secrets.every((secret) => secret.length > 100));
    const page = path.join(ROOT, /^page: (.*)$/m.exec(done.stdout)?.[1] ?? "");
    const files = [...(await filesIn(kept)), ...(await filesIn(path.dirname(page)))];
    assert.ok(files.includes(page) && files.includes(path.join(kept, "repro.html")), files.join("\n"));
    // The page may be given away: neither the signature nor a key is on it, not in the command that asks again either.
    assert.match(await readFile(page, "utf8"), /--token \S*@\S*token\.jwt/);
    assert.ok(!(await readdir(path.join(folder, "pages"))).includes("latest"), "latest is a run");
    assert.ok(
      files.some((file) => file.endsWith("tickets/shop/scenario.yaml")),
      files.join("\n"),
    );
    const texts = [done.stdout, done.stderr, ...(await Promise.all(files.map((file) => readFile(file, "utf8"))))];
    for (const secret of secrets) for (const text of texts) assert.ok(!text.includes(secret));

    // What was exported is a scenario that passes, and that fails as soon as the audience is right.
    const root = path.join(kept, "scenarios");
    const results = path.join(folder, "results");
    const run = () => meshproof("run", "tickets/shop", "--scenarios", root, "--name", NAME, "--results", results);
    const passed = await run();
    assert.equal(passed.exitCode, 0, passed.stdout + passed.stderr);
    const policy = path.join(root, "tickets/shop/01-requestauthentication-jwt.yaml");
    await writeFile(policy, (await readFile(policy, "utf8")).replace("- orders", "- billing"));
    assert.equal((await run()).exitCode, 1);
  });

  it("wrote no signature and no private key of its own anywhere", async () => {
    const secrets = (await readFile(path.join(folder, "secrets.txt"), "utf8")).trim().split("\n");
    assert.ok(secrets.length > Object.keys(TICKET_ANSWERS).length);
    await rm(path.join(folder, "secrets.txt"));
    // The exported set of scenarios has its nginx-proxy, which serves the JWKS of Istio's sample: a key and a token that all the world has.
    const published = /\/scenarios\/issuers\/istio-sample\.(pem holds a private key|jwt holds secret \d+ of \d+)$/;
    assert.deepEqual(
      (await findSecrets(folder, secrets)).filter((found) => !published.test(found)),
      [],
    );
  });
});
