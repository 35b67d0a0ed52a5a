/** In a mesh that is broken on purpose, a run must fail, and print the reason. All tests use the command line, on one kept cluster. */

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { unfinishedOf, type CheckResult, type RunResult } from "../../harness/model/result.ts";
import { readResults } from "../../reports/index.ts";
import { descendantsOf, nodeOf } from "../../tools/processes.ts";
import { findSecrets } from "../../cli/find-secrets.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `sabotage-${process.pid}`;

describe("sabotage", () => {
  let folder: string;
  let scenarios: string;

  const meshproof = async (...args: string[]): Promise<{ exitCode: number | undefined; output: string }> => {
    const { exitCode, all } = await execa(process.execPath, ["cli/meshproof.mjs", ...args], {
      cwd: ROOT,
      env: { MESHPROOF_SECRETS_FILE: path.join(folder, "secrets.txt") },
      all: true,
      reject: false,
    });
    return { exitCode, output: all };
  };
  const kubectl = async (...args: string[]): Promise<string> => {
    const { exitCode, output } = await meshproof("kubectl", "--name", NAME, ...args);
    assert.equal(exitCode, 0, output);
    return output;
  };
  const run = async (
    id: string,
    ...more: string[]
  ): Promise<{ exitCode: number | undefined; output: string; results: string; result: RunResult }> => {
    const results = await mkdtemp(path.join(folder, "results-"));
    // Most of these fail, and what fails is looked at until the limit.
    const on = ["--name", NAME, "--scenarios", scenarios, "--limit", "5"];
    const done = await meshproof("run", id, ...on, "--results", results, ...more);
    const text = await readFile(path.join(results, "latest/results.json"), "utf8").catch(() => "{}");
    assert.deepEqual(await findSecrets(results, await secretsSoFar()), []);
    return { ...done, results, result: JSON.parse(text) as RunResult };
  };
  /** A run that sends nothing makes no token. */
  const secretsSoFar = async (): Promise<string[]> =>
    (await readFile(path.join(folder, "secrets.txt"), "utf8").catch(() => ""))
      .split("\n")
      .filter((line) => line !== "");
  const firstPod = async (namespace: string, label: string): Promise<{ name: string; ip: string }> => {
    const path = "jsonpath={.items[0].metadata.name} {.items[0].status.podIP}";
    const [name = "", ip = ""] = (await kubectl("-n", namespace, "get", "pods", "-l", label, "-o", path)).split(" ");
    return { name, ip };
  };
  const checksOf = (result: RunResult): CheckResult[] =>
    result.scenarios.flatMap((s) => s.steps.flatMap((step) => step.checks));
  const wrongOnes = (result: RunResult): string[] =>
    checksOf(result)
      .filter((c) => c.status !== "passed")
      .map((c) => `${c.name}: ${c.expected.status} ${c.got.status} ${c.status}`);
  const writeScenario = async (name: string, files: Record<string, string>): Promise<void> => {
    const dir = path.join(scenarios, "sabotage", name);
    await mkdir(dir, { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(path.join(dir, file), text);
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-sabotage-"));
    scenarios = path.join(folder, "scenarios");
    await cp(path.join(ROOT, "scenarios"), scenarios, { recursive: true });
    await cp(path.join(ROOT, "harness/run/fixtures"), path.join(scenarios, "sabotage"), { recursive: true });
    const { exitCode, output } = await meshproof("up", "--name", NAME);
    assert.equal(exitCode, 0, output);
  });
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

  it("a selector that matches no pod", async () => {
    const { exitCode, result, results, output } = await run("sabotage/wrong-selector");
    assert.equal(exitCode, 3, output);
    assert.deepEqual([result.counts.passed, result.counts.error], [0, 1]);
    assert.match(
      output,
      /RequestAuthentication foo\/\S+ selects none of the pods that judge these requests: it has selector app=httpbim/,
    );
    assert.match(output, /^ {2}evidence +\S+diagnostics$/m);
    const [kept = ""] = result.scenarios[0]?.diagnostics ?? [];
    const evidence = path.join(results, result.id, kept);
    const files = await readdir(evidence);
    for (const name of [
      ...["applied.yaml", "collected.txt", "istiod.log", "events-foo.txt", "sync-state.json"],
      ...[/^config-httpbin-.*json$/, /^config-sleep-.*json$/, /^access-log-httpbin-.*jsonl$/],
    ])
      assert.ok(
        files.some((file) => (typeof name === "string" ? file === name : name.test(file))),
        `${String(name)}: ${files.join(" ")}`,
      );
    const read = (name: string): Promise<string> => readFile(path.join(evidence, name), "utf8");
    assert.match(await read("applied.yaml"), /kind: RequestAuthentication[\s\S]*app: httpbim/);
    assert.doesNotMatch(await read("collected.txt"), /not there|left out|ended early/);
  });

  it("a missing AuthorizationPolicy", async () => {
    const { exitCode, result, results, output } = await run("sabotage/policy-missing");
    assert.equal(exitCode, 1, output);
    assert.deepEqual(wrongOnes(result), [
      "/api/v1/products/0 none: 403 200 failed",
      "/api/v1/products/1 none: 403 200 failed",
    ]);
    assert.match(output, /expected 403 from authorization, got 200/);
    const evidence = path.join(results, result.id, result.scenarios[0]?.diagnostics?.[0] ?? "");
    const files = await readdir(evidence);
    const log = await readFile(
      path.join(evidence, files.find((f) => f.startsWith("access-log-istio-in")) ?? ""),
      "utf8",
    );
    assert.ok(log.includes(checksOf(result).find(({ status }) => status === "failed")?.got.userAgent ?? "?"));
  });

  it("a JWKS server that answers 500", async () => {
    const { exitCode, result, output } = await run("sabotage/jwks-500");
    assert.equal(exitCode, 1, output);
    assert.deepEqual(wrongOnes(result), ["/headers valid: 200 401 failed"]);
    assert.match(output, /istiod could not fetch the keys of testing@secure\.istio\.io/);
  });

  it("a dead upstream", async () => {
    await kubectl("-n", "foo", "scale", "deploy/httpbin", "--replicas=0");
    await kubectl("-n", "foo", "wait", "--for=delete", "pod", "-l", "app=httpbin", "--timeout=60s");
    try {
      const { exitCode, result, output } = await run("jwt/request-authentication-alone");
      assert.equal(exitCode, 1, output);
      assert.ok(checksOf(result).every((c) => c.got.status === 503 && c.status === "failed"));
      assert.match(output, /expected 200 from httpbin, got 503 from the proxy \("no healthy upstream"\)/);
      assert.match(output, /why +httpbin has no ready pod/);
    } finally {
      await kubectl("-n", "foo", "scale", "deploy/httpbin", "--replicas=1");
      await kubectl("-n", "foo", "rollout", "status", "deploy/httpbin", "--timeout=60s");
    }
  });

  it("a proxy that is cut off from istiod: no step passes, with any expectation", async () => {
    const istiod = await firstPod("istio-system", "app=istiod");
    const httpbin = await firstPod("foo", "app=httpbin");
    const node = await nodeOf(httpbin.name);
    // Neither pushes nor anything else: pods reach each other through the node's routes.
    const rule = ["from", istiod.ip, "to", httpbin.ip, "blackhole"];
    await execa("nsenter", [...node, "ip", "rule", "add", ...rule]);
    try {
      // The policies of the last two expect just what the mesh answers without them.
      const ids = ["jwt/request-authentication-alone", "authz/dry-run-allow", "authz/audit", "authz/allow-all"];
      const { exitCode, output, result } = await run(ids[0] ?? "", ...ids.slice(1), "--push-limit", "3");
      assert.equal(exitCode, 3, output);
      assert.deepEqual([result.counts.passed, result.counts.error], [0, ids.length]);
      assert.match(output, /foo\/httpbin-\S+ has an older configuration 3 s after the step was applied/);
    } finally {
      await execa("nsenter", [...node, "ip", "rule", "del", ...rule]);
    }
  });

  it("keys that istiod has from an earlier run do not count: it fetches a fixed jwksUri anew", async () => {
    const id = "jwt/jwks-uri-namespace-name";
    const before = await run(id);
    assert.equal(before.exitCode, 0, before.output);
    const server = await firstPod("foo", "app=nginx-proxy");
    const client = await firstPod("foo", "app=sleep");
    const node = await nodeOf(server.name);
    // The client still reaches the server; istiod does not, at any address.
    const rules = [
      ["pref", "90", "from", client.ip, "to", server.ip, "lookup", "main"],
      ["pref", "95", "to", server.ip, "iif", "br0", "ipproto", "tcp", "dport", "80", "blackhole"],
    ];
    for (const rule of rules) await execa("nsenter", [...node, "ip", "rule", "add", ...rule]);
    try {
      const { exitCode, output, result } = await run(id);
      assert.equal(exitCode, 1, output);
      assert.deepEqual(wrongOnes(result), ["/headers valid: 200 401 failed"]);
      assert.match(output, /istiod could not fetch the keys of testing@secure\.istio\.io/);
    } finally {
      for (const rule of rules) await execa("nsenter", [...node, "ip", "rule", "del", ...rule]);
    }
  });

  it("another user's policy that also decides is named, and no check passes because of it", async () => {
    const manifest = path.join(folder, "theirs.yaml");
    const jwks = JSON.stringify(
      JSON.parse(await readFile(path.join(ROOT, "scenarios/issuers/istio-sample.json"), "utf8")),
    );
    await writeFile(
      manifest,
      [
        "apiVersion: security.istio.io/v1",
        "kind: RequestAuthentication",
        "metadata: { name: theirs, namespace: istio-system }",
        `spec: { jwtRules: [{ issuer: 'https://theirs.example', jwks: '${jwks}' }] }`,
        "---",
        "apiVersion: security.istio.io/v1",
        "kind: AuthorizationPolicy",
        "metadata: { name: theirs, namespace: foo }",
        "spec: { action: DENY, rules: [{ to: [{ operation: { paths: [/never] } }] }] }",
      ].join("\n"),
    );
    await kubectl("apply", "-f", manifest);
    try {
      const { exitCode, output, result } = await run("jwt/request-authentication-alone", "--push-limit", "3");
      assert.equal(exitCode, 3, output);
      assert.deepEqual([result.counts.passed, result.counts.error], [0, 1]);
      assert.match(
        output,
        /enforces what this scenario did not apply: AuthorizationPolicy foo\/theirs, RequestAuthentication istio-system\/theirs/,
      );
    } finally {
      await kubectl("delete", "-f", manifest);
    }
  });

  it("what a worker that was killed has left is gone before the next scenario", async () => {
    const results = await mkdtemp(path.join(folder, "results-"));
    const child = execa(
      process.execPath,
      ["cli/meshproof.mjs", "run", "authz/claim-*", "--name", NAME, "--results", results],
      {
        cwd: ROOT,
        all: true,
        reject: false,
        env: { MESHPROOF_SECRETS_FILE: path.join(folder, "secrets.txt") },
      },
    );
    let killed = false;
    for await (const line of child.iterable({ from: "all" })) {
      if (killed || !/\[2\/\d+\] passed/.test(line)) continue;
      const workers = await workersOf(child.pid ?? 0);
      assert.equal(workers.length, 1);
      for (const pid of workers) process.kill(pid, "SIGKILL");
      killed = true;
    }
    const { exitCode, all } = await child;
    assert.ok(killed, all);
    const result = JSON.parse(await readFile(path.join(results, "latest/results.json"), "utf8")) as RunResult;
    const statuses = result.scenarios.map(({ status }) => status);
    assert.deepEqual([exitCode, statuses.filter((status) => status !== "passed")], [3, ["error"]], all);
    assert.ok(statuses.length > 4);
  });

  it("a manifest that the API server rejects", async () => {
    await writeScenario("rejected", {
      "scenario.yaml": (await readFile(path.join(scenarios, "sabotage/wrong-selector/scenario.yaml"), "utf8")).replace(
        "name: wrong-selector",
        "name: rejected",
      ),
      "request-authentication.yaml": [
        "apiVersion: security.istio.io/v1beta1",
        "kind: RequestAuthentication",
        "metadata: { name: broken, namespace: '${ns}' }",
        "spec: { selector: { matchLabel: { app: httpbin } } }",
      ].join("\n"),
    });
    const alone = await run("sabotage/rejected");
    assert.equal(alone.exitCode, 2, alone.output);
    assert.match(
      alone.output,
      /rejected\/request-authentication\.yaml:1:1 the API server rejected RequestAuthentication foo\/broken: .*matchLabel/,
    );
    const { exitCode, output, result } = await run("sabotage/rejected", "jwt/request-authentication-alone");
    assert.equal(exitCode, 2, output);
    assert.deepEqual(result.scenarios.map(({ id, status }) => `${id} ${status}`).sort(), [
      "jwt/request-authentication-alone passed",
      "sabotage/rejected error",
    ]);
    const [refusal] = result.scenarios.find(({ refused }) => refused !== undefined)?.refused ?? [];
    assert.equal(refusal?.object, "RequestAuthentication foo/broken");
    assert.equal(refusal.position.line, 1);
    await rm(path.join(scenarios, "sabotage/rejected"), { recursive: true });
  });

  /** One scenario of httpbin and sleep: each step is what it applies, and its checks. */
  const asking = (name: string, ...steps: readonly (readonly [apply: string, ...checks: string[]])[]): string =>
    [
      "apiVersion: meshproof.dev/v1alpha1",
      "kind: Scenario",
      `metadata: { name: ${name}, title: t, source: made for this test, level: core }`,
      "spec:",
      "  workloads: [httpbin, sleep]",
      "  steps:",
      ...steps.flatMap(([apply, ...checks], index) => [
        `    - name: step ${index + 1}`,
        ...(apply === "" ? [] : [`      apply: ${apply}`]),
        "      checks:",
        ...checks.map((check) => `        - { from: sleep, ${check} }`),
      ]),
      "",
    ].join("\n");
  const admitted = "to: httpbin, path: /headers, expect: 200";
  const noIp = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: no-ip, namespace: "\${ns}" }
spec:
  selector: { matchLabels: { app: httpbin } }
  action: DENY
  rules: [{ to: [{ operation: { paths: [/ip] } }] }]
`;

  it("a demand of a denial's policy is judged, also after a scenario whose own Service is gone", async () => {
    const service = `
apiVersion: v1
kind: Service
metadata: { name: own, namespace: "\${ns}" }
spec: { selector: { app: httpbin }, ports: [{ name: http, port: 8000, targetPort: 8080 }] }
`;
    await writeScenario("asks-its-own", {
      "scenario.yaml": asking(
        "asks-its-own",
        ["service.yaml", "to: own, path: /headers, expect: 200"],
        ["", "to: own, path: /ip, expect: 200"],
      ),
      "service.yaml": service,
    });
    await writeScenario("other-policy", {
      "scenario.yaml": asking("other-policy", [
        "no-ip.yaml",
        admitted,
        "name: other, to: httpbin, path: /ip, expect: { status: 403, policy: some-other-policy }",
        'name: none, to: httpbin, path: /ip, expect: { status: 403, details: "matched_policy[none]" }',
        'name: right, to: httpbin, path: /ip, expect: { status: 403, policy: no-ip, details: "rule[0]" }',
      ]),
      "no-ip.yaml": noIp,
    });
    const { exitCode, output, result } = await run("sabotage/asks-its-own", "sabotage/other-policy");
    assert.equal(exitCode, 1, output);
    assert.deepEqual(wrongOnes(result), ["other: 403 403 failed", "none: 403 403 failed"]);
    assert.match(output, /expected a rule of the AuthorizationPolicy "some-other-policy" to decide/);
  });

  it("a demand that no access log can answer is an error of its check alone, in every report", async () => {
    const quiet = `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: { name: quiet, namespace: "\${ns}" }
spec: { accessLogging: [{ providers: [{ name: envoy }], disabled: true }] }
`;
    await writeScenario("no-log", {
      "scenario.yaml": asking(
        "no-log",
        ["[no-ip.yaml, quiet.yaml]", admitted, "to: httpbin, path: /ip, expect: 403"],
        [
          "",
          admitted,
          "name: plain, to: httpbin, path: /ip, expect: 403",
          "name: demanding, to: httpbin, path: /ip, expect: { status: 403, policy: no-ip }",
        ],
        ["", admitted],
      ),
      "no-ip.yaml": noIp,
      "quiet.yaml": quiet,
    });
    const { exitCode, output, result, results } = await run("sabotage/no-log");
    assert.equal(exitCode, 3, output);
    assert.deepEqual(wrongOnes(result), ["demanding: 403 403 error"]);
    assert.deepEqual([result.counts.passed, result.counts.error], [5, 1]);
    assert.match(output, /could not be judged: .* the access log of foo\/httpbin-\S+ has no line for this request/);
    const reports = ["report.html", "junit.xml", "ctrf.json", "summary.md", "conformance.yaml", "results.json"];
    for (const report of reports)
      assert.match(await readFile(path.join(results, "latest", report), "utf8"), /could not be judged/, report);
  });

  it("another user's object of the same name is not changed", async () => {
    const manifest = path.join(folder, "own.yaml");
    await writeFile(
      manifest,
      "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: jwt-example, namespace: foo }\nspec: {}\n",
    );
    await kubectl("apply", "-f", manifest);
    const versionOf = (): Promise<string> =>
      kubectl("-n", "foo", "get", "requestauthentication", "jwt-example", "-o", "jsonpath={.metadata.resourceVersion}");
    const before = await versionOf();
    const { exitCode, output } = await run("jwt/request-authentication-alone");
    assert.equal(await versionOf(), before);
    assert.equal(exitCode, 3, output);
    assert.match(output, /RequestAuthentication foo\/jwt-example exists already and was not made by meshproof/);
    await kubectl("delete", "-f", manifest);
  });

  /** One check of /headers without a token, expected to be admitted. */
  const openDoor = (name: string, metadata: string, policy: string): Record<string, string> => ({
    "scenario.yaml": `
apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata:
  name: ${name}
  title: Whoever asks is admitted
  source: made for this test
  level: core
${metadata}
spec:
  workloads: [httpbin, sleep]
  steps:
    - name: the door is open
      apply: policy.yaml
      checks: [{ from: sleep, to: httpbin, path: /headers, expect: 200 }]
`,
    "policy.yaml": policy,
  });
  const denying = (userAgent: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: sabotage, namespace: "\${ns}" }
spec:
  selector: { matchLabels: { app: httpbin } }
  action: DENY
  rules: [{ when: [{ key: "request.headers[user-agent]", values: ["${userAgent}"] }] }]
`;
  // A request says in its User-Agent which round it belongs to: curl's own never ends in this.
  const nobody = denying("*/never");

  it("a check whose answer changes in the second round is flaky, and fails", async () => {
    await writeScenario("unsteady", openDoor("unsteady", "", denying("*/2")));
    const { exitCode, output, result } = await run("sabotage/unsteady");
    assert.equal(exitCode, 1, output);
    assert.deepEqual(wrongOnes(result), ["/headers none: 200 200 flaky"]);
    assert.deepEqual([result.counts.flaky, result.counts.passed], [1, 0]);
    assert.match(
      output,
      /round 2: expected 200 from httpbin, got 403 from authorization, after it had agreed in round 1/,
    );
  });

  it("a known failure is excused until its date, and failed from then on", async () => {
    const known = (until: string): string =>
      `  knownFailure: { owner: doors, reason: the door is shut, expires: ${until} }`;
    await writeScenario("known", openDoor("known", known("2999-12-31"), denying("*")));
    const excused = await run("sabotage/known");
    assert.equal(excused.exitCode, 0, excused.output);
    assert.equal(excused.result.scenarios[0]?.status, "known-failure");
    assert.deepEqual([excused.result.counts["known-failure"], excused.result.counts.failed], [1, 0]);
    await writeScenario("known", openDoor("known", known("2001-01-01"), denying("*")));
    const expired = await run("sabotage/known");
    assert.equal(expired.exitCode, 1, expired.output);
    assert.equal(expired.result.counts.failed, 1);
  });

  it("what does not hold for this Istio is skipped, with the reason", async () => {
    await writeScenario("later", openDoor("later", "  istio: '>=99.0'", nobody));
    await writeScenario("now", openDoor("now", "", nobody));
    const { exitCode, output, result } = await run("sabotage/later", "sabotage/now");
    assert.equal(exitCode, 0, output);
    assert.deepEqual(
      result.scenarios.map(({ id, status }) => `${id} ${status}`),
      ["sabotage/now passed", "sabotage/later skipped"],
    );
    assert.match(result.scenarios[1]?.reason ?? "", />=99\.0/);
    const alone = await run("sabotage/later");
    assert.equal(alone.exitCode, 2, alone.output);
    assert.match(alone.output, /nothing that was selected can run here/);
  });

  it("a new scenario and the one of docs/writing-a-scenario.md pass at the first try", async () => {
    const made = await meshproof("new", "sabotage/mine", "--scenarios", scenarios);
    assert.equal(made.exitCode, 0, made.output);
    const page = await readFile(path.join(ROOT, "docs/writing-a-scenario.md"), "utf8");
    const files = [...page.matchAll(/^```yaml (\S+)\n([^]*?)^```$/gm)].map(([, file = "", text = ""]) => [file, text]);
    await writeScenario("audience-must-match", Object.fromEntries(files) as Record<string, string>);
    const { exitCode, output, result } = await run("sabotage/mine", "sabotage/audience-must-match");
    assert.equal(exitCode, 0, output);
    assert.deepEqual([result.counts.passed, result.counts.failed], [12 + 11, 0]);
  });

  it("ctrl-C in the middle leaves no policy behind, and the results of what had ended", async () => {
    const results = await mkdtemp(path.join(folder, "results-"));
    const child = execa(process.execPath, ["cli/meshproof.mjs", "run", "jwt/*", "--name", NAME, "--results", results], {
      cwd: ROOT,
      all: true,
      reject: false,
    });
    // Once: a second one does not wait for what the first one removes.
    let asked = false;
    for await (const line of child.iterable({ from: "all" })) {
      if (asked || !/\[\d+\/\d+\] passed/.test(line)) continue;
      asked = true;
      child.kill("SIGINT");
    }
    const { exitCode, all } = await child;
    assert.equal(exitCode, 130, all);
    const left = await kubectl(
      "get",
      "requestauthentications,authorizationpolicies,serviceentries,destinationrules",
      "-A",
      "--no-headers",
    );
    assert.match(left, /No resources found/, all);
    assert.match(all, /note: this run was interrupted: \d+ of \d+ scenarios did not run to the end/);
    const partial = await readResults(path.join(results, "latest"));
    assert.equal(partial.interrupted, true);
    const [done, undone] = [partial.scenarios.filter(({ status }) => status === "passed"), unfinishedOf(partial)];
    assert.ok(done.length > 0 && undone.length > 0, all);
    assert.equal(done.length + undone.length, partial.scenarios.length, all);
    assert.ok(undone.every(({ reason }) => reason === "it did not run to its end: the run was interrupted"));
  });

  it("and at the end a run passes", async () => {
    const { exitCode, output } = await run("jwt/request-authentication-alone");
    assert.equal(exitCode, 0, output);
    assert.ok((await secretsSoFar()).length > 1);
  });
});

/** Playwright's worker processes below a process. */
async function workersOf(ancestor: number): Promise<number[]> {
  const commands = (await descendantsOf(ancestor)).map(async (pid) => ({
    pid,
    command: await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
  }));
  return (await Promise.all(commands))
    .filter(({ command }) => command.includes("playwright/lib/worker/workerProcessEntry"))
    .map(({ pid }) => pid);
}
