import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { loadScenarios } from "../harness/scenario/index.ts";
import { meshproof } from "./meshproof.fixture.ts";

const POLICY = (spec: string): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: orders, namespace: shop }
spec:
  selector: { matchLabels: { app: orders } }
${spec}`;

const AUTHENTICATION = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: tokens, namespace: shop }
spec:
  selector: { matchLabels: { app: orders } }
  jwtRules:
    - issuer: https://login.shop.example
      audiences: [orders]
      fromHeaders: [{ name: X-Token }]
      jwks: '{"keys":[{"kty":"EC","crv":"P-256","kid":"a"}]}'
---
`;

const SERVICE = `---
apiVersion: v1
kind: Service
metadata: { name: orders-api, namespace: shop }
spec: { selector: { app: orders }, ports: [{ name: http, port: 81, targetPort: web }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: orders, namespace: shop }
spec:
  template:
    metadata: { labels: { app: orders, tier: api } }
    spec:
      serviceAccountName: orders-account
      containers: [{ name: orders, image: orders, ports: [{ name: web, containerPort: 9000 }] }]
`;

describe("a repository that is set up", () => {
  let cwd: string;
  beforeEach(async () => {
    cwd = await mkdtemp(path.join(tmpdir(), "meshproof-init-"));
    await mkdir(path.join(cwd, "deploy"));
  });
  afterEach(() => rm(cwd, { recursive: true }));

  const init = async (policies: string): Promise<string> => {
    await writeFile(path.join(cwd, "deploy/orders.yaml"), policies);
    const { stdout, stderr, exitCode } = await meshproof(["init"], { cwd });
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  const load = () => loadScenarios(path.join(cwd, "mesh-tests"), { base: cwd, namespaces: { shop: "${ns}" } });

  it("has a scenario of its own policies that can run, and a workload in the place of its own", async () => {
    const stdout = await init(
      `${AUTHENTICATION}${POLICY('  rules: [{ from: [{ source: { requestPrincipals: ["*"] } }], when: [{ key: "request.auth.claims[groups]", values: [staff] }] }]\n')}${SERVICE}`,
    );
    assert.match(stdout, /wrote meshproof\.config\.yaml\n/);
    assert.match(stdout, /RequestAuthentication tokens \(deploy\/orders\.yaml\), AuthorizationPolicy orders/);
    const { scenarios, problems } = await load();
    assert.deepEqual(problems, []);
    const [scenario] = scenarios;
    assert.equal(scenario?.id, "shop/orders-api");
    assert.deepEqual(scenario?.tokens["valid"], {
      issuer: "login-shop-example",
      claims: { aud: ["orders"], groups: ["staff"] },
      in: { header: "X-Token" },
    });
    assert.deepEqual(
      scenario?.steps.map(({ checks }) => checks.map(({ expect }) => expect.status)),
      [
        [200, 200, 401, 401],
        [403, 200, 401, 401],
      ],
    );
    assert.match(
      await readFile(path.join(cwd, "mesh-tests/issuers/login-shop-example.yaml"), "utf8"),
      /kid: a\n +alg: ES256/,
    );
    const workload = await readFile(path.join(cwd, "mesh-tests/workloads/orders-api/orders-api.yaml"), "utf8");
    assert.match(workload, /port: 81\n +targetPort: 9000/);
    assert.match(workload, /tier: api/);
    assert.match(workload, /serviceAccountName: orders-account/);
    const listed = await meshproof(["list"], { cwd });
    assert.match(listed.stdout, /^shop\/orders-api +8 /m);
    assert.equal((await meshproof(["lint"], { cwd })).stdout, "1 scenario can run, 0 problems");
  });

  it("says where it does not know what the policies demand", async () => {
    const stdout = await init(
      `${AUTHENTICATION}${POLICY("  action: DENY\n  rules: [{ to: [{ operation: { paths: [/admin] } }] }]\n")}`,
    );
    assert.match(stdout, /write what you expect into the last matrix/);
    assert.deepEqual((await load()).problems, []);
  });

  it("keeps every file that is there", async () => {
    await writeFile(path.join(cwd, "meshproof.config.yaml"), "results: out\n");
    const stdout = await init(AUTHENTICATION);
    assert.match(stdout, /kept meshproof\.config\.yaml, which is there already/);
    assert.equal(await readFile(path.join(cwd, "meshproof.config.yaml"), "utf8"), "results: out\n");
  });

  it("has an example where it has no policies, and notes that of templates", async () => {
    await mkdir(path.join(cwd, "chart"));
    await writeFile(
      path.join(cwd, "chart/authz.yaml"),
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: {{ .Release.Name }} }\n",
    );
    const stdout = await init("kind: Other\n");
    assert.match(stdout, /wrote mesh-tests\/team\/first\/scenario\.yaml/);
    assert.match(stdout, /chart\/authz\.yaml is a template/);
    assert.deepEqual((await load()).problems, []);
  });

  it("has a config whose mistakes are named with file and line, and that flags win over", async () => {
    await init(AUTHENTICATION);
    await writeFile(
      path.join(cwd, "meshproof.config.yaml"),
      'scenarios: mesh-tests\nnamespaces: { shop: "${ns}" }\nlanes: many\n',
    );
    const { stderr, exitCode } = await meshproof(["list"], { cwd });
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: meshproof\.config\.yaml:3:8 lanes must be a number from 1 to 16/);
    await writeFile(path.join(cwd, "meshproof.config.yaml"), 'scenarios: elsewhere\nnamespaces: { shop: "${ns}" }\n');
    assert.match((await meshproof(["list", "--scenarios", "mesh-tests"], { cwd })).stdout, /shop\/orders/);
  });
});
