/** Runs on an existing cluster: a kept embedded cluster takes its place. All tests use the command line. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { killTree } from "../../tools/processes.ts";
import { runDirOf } from "../../clusters/embedded/run-dir.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `existing-${process.pid}`;
const CONTEXT = `meshproof-${NAME}`;

describe("an existing cluster", () => {
  let folder: string;
  let kubeconfig: string;
  let canary: string;

  const start = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args], {
      cwd: ROOT,
      all: true,
      reject: false,
      env: { XDG_STATE_HOME: path.join(folder, "state") },
    });
  const meshproof = async (...args: string[]): Promise<{ exitCode: number | undefined; all: string }> => {
    const { exitCode, all } = await start(...args);
    return { exitCode, all };
  };
  const kubectl = async (...args: string[]): Promise<string> => {
    const { exitCode, all } = await meshproof("kubectl", "--name", NAME, ...args);
    assert.equal(exitCode, 0, all);
    return all;
  };
  const onIt = (): string[] => ["--cluster", "existing", "--kubeconfig", kubeconfig, "--context", CONTEXT];
  const startRun = (...args: string[]) => start("run", ...args, ...onIt(), "--results", path.join(folder, "results"));
  const refused = async (expected: RegExp, code: number, ...args: string[]): Promise<void> => {
    const { exitCode, all } = await meshproof("run", "jwt/algorithms", ...args, "--results", path.join(folder, "no"));
    assert.match(all, expected);
    assert.equal(exitCode, code, all);
    await assertNothingLeft();
  };
  const versions = (): Promise<string> =>
    kubectl(
      ...["-n", "canary", "get", "deployments,requestauthentications,authorizationpolicies,configmaps", "-o"],
      "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}",
    );
  const assertNothingLeft = async (): Promise<void> => {
    const kinds = "namespaces,leases,requestauthentications,authorizationpolicies,serviceentries,gateways";
    const left = await kubectl("get", kinds, "-A", "-l", "meshproof.dev/run", "--no-headers");
    assert.match(left, /No resources found/);
    // The node of the embedded cluster has a lease of its own, named after it.
    assert.doesNotMatch(await kubectl("get", "leases", "-A"), /run\.meshproof\.dev/);
    assert.equal(await versions(), canary, "the user's own objects have changed");
  };
  const awaitLine = async (child: ReturnType<typeof start>, line: RegExp): Promise<void> => {
    let seen = "";
    await new Promise<void>((resolve, reject) => {
      child.all.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
        if (line.test(seen)) resolve();
      });
      child.all.once("end", () => reject(new Error(`it ended without saying ${line}:\n${seen}`)));
    });
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-existing-e2e-"));
    const { exitCode, all } = await meshproof("up", "--name", NAME);
    assert.equal(exitCode, 0, all);
    kubeconfig = runDirOf(NAME).kubeconfig;
    const manifest = path.join(folder, "canary.yaml");
    await writeFile(
      manifest,
      `apiVersion: v1
kind: Namespace
metadata: { name: canary, labels: { istio-injection: enabled } }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: own, namespace: canary }
spec: {}
---
apiVersion: v1
kind: ConfigMap
metadata: { name: own, namespace: canary }
`,
    );
    await kubectl("apply", "-f", manifest);
    await kubectl("-n", "canary", "wait", "--for=create", "configmap/istio-ca-root-cert", "--timeout=30s");
    canary = await versions();
  });
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

  it("is examined by doctor without a change", async () => {
    const { exitCode, all } = await meshproof("doctor", ...onIt());
    assert.equal(exitCode, 0, all);
    assert.match(all, /Istio 1\.\S+ +revision default in istio-system, a jwksUri is fetched by: istiod/);
    assert.match(all, /people work here: canary, foo get sidecars|people work here: canary gets sidecars/);
    assert.match(all, /\d+ of \d+ scenarios would run; the others not:/);
    await assertNothingLeft();
  });

  it("passes, its owner's objects do not change, and nothing is left", async () => {
    const { exitCode, all } = await startRun("jwt/request-authentication-alone", "jwt/jwks-uri-full-name*");
    assert.equal(exitCode, 0, all);
    assert.match(all, /\n22 passed, 0 failed, 2 skipped$/);
    assert.match(all, /nothing is left on the cluster: \d+ objects were created and are gone, \d+ kinds listed/);
    await assertNothingLeft();
  });

  it("passes with mesh-wide objects if they are allowed", async () => {
    const { exitCode, all } = await startRun("paths/skip-jwt-for-paths", "jwt/jwks-outside-http", "--allow-mesh-wide");
    assert.equal(exitCode, 0, all);
    await assertNothingLeft();
  });

  it("refuses a scenario that affects more than its own namespaces", async () => {
    const { exitCode, all } = await startRun("paths/skip-jwt-for-paths");
    assert.equal(exitCode, 2, all);
    assert.match(
      all,
      /RequestAuthentication jwt-example is applied to istio-system, where others work; --allow-mesh-wide/,
    );
    await assertNothingLeft();
  });

  it("refuses a second run at the same time", async () => {
    const first = startRun("jwt/algorithms");
    await awaitLine(first, /waiting for \d+ workloads/);
    const { exitCode, all } = await startRun("jwt/algorithms");
    assert.equal(exitCode, 3, all);
    assert.match(all, /another meshproof is at work on this cluster: run \d{8}-\d{6}-[0-9a-f]{4} \(process \d+ on /);
    const done = await first;
    assert.equal(done.exitCode, 0, done.all);
    await assertNothingLeft();
  });

  it("is cleaned up after ctrl-C", async () => {
    const child = startRun("jwt/*");
    await awaitLine(child, /\[\d+\/\d+\] passed/);
    child.kill("SIGINT");
    assert.equal((await child).exitCode, 130);
    await assertNothingLeft();
  });

  it("is cleaned up after kill -9, by hand", async () => {
    const child = startRun("jwt/*");
    await awaitLine(child, /\[\d+\/\d+\] passed/);
    await killTree(child.pid ?? 0);
    await child;
    const journals = path.join(folder, "state/meshproof/journals");
    const [name = ""] = await readdir(journals);
    const journal = await readFile(path.join(journals, name), "utf8");
    const elsewhere = journal.replace(/"uid":"[^"]+"/, '"uid":"another-cluster"');
    await writeFile(path.join(journals, name), elsewhere);
    const refusal = await meshproof("cleanup");
    assert.equal(refusal.exitCode, 2, refusal.all);
    assert.match(
      refusal.all,
      /belongs to another cluster than that of the run: its uid of kube-system was another-cluster/,
    );
    await writeFile(path.join(journals, name), journal);
    const { exitCode, all } = await meshproof("cleanup");
    assert.equal(exitCode, 0, all);
    assert.match(all, /nothing is left on meshproof-existing-\d+, \d+ kinds listed/);
    await assertNothingLeft();
    assert.match((await meshproof("cleanup")).all, /there is nothing to clean up/);
  });

  it("is cleaned up after kill -9 by the next run", async () => {
    const child = startRun("jwt/*");
    await awaitLine(child, /\[\d+\/\d+\] passed/);
    await killTree(child.pid ?? 0);
    await child;
    const next = await startRun("jwt/algorithms");
    assert.match(next.all, /was killed and left objects here: removing them/);
    assert.equal(next.exitCode, 0, next.all);
    await assertNothingLeft();
    assert.match((await meshproof("cleanup")).all, /there is nothing to clean up/);
  });

  it("refuses a context that was not named", async () => {
    const kind = ["--cluster", "existing", "--kubeconfig", kubeconfig];
    await refused(/no context is named, .* it has meshproof-existing-\d+\n.*--context NAME/, 2, ...kind);
    await refused(/has no usable context "other": it has meshproof-existing/, 2, ...kind, "--context", "other");
    await refused(/--context is for a cluster that exists already\n.*--cluster existing/, 2, "--context", CONTEXT);
  });

  it("is not waited for when its API server is away", async () => {
    const away = path.join(folder, "away");
    await writeFile(away, (await readFile(kubeconfig, "utf8")).replace(/127\.0\.0\.1:\d+/, "127.0.0.1:9"));
    const { exitCode, all } = await meshproof(
      ...["run", "--cluster", "existing", "--kubeconfig", away, "--context", CONTEXT],
    );
    assert.match(all, /https:\/\/127\.0\.0\.1:9 does not answer/);
    assert.equal(exitCode, 3, all);
  });

  it("runs no program of a kubeconfig that was not allowed by name", async () => {
    const proof = path.join(folder, "ran");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:9" } }],
      users: [
        {
          name: "u",
          user: { exec: { apiVersion: "client.authentication.k8s.io/v1", command: "/bin/touch", args: [proof] } },
        },
      ],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    };
    const file = path.join(folder, "exec");
    await writeFile(file, JSON.stringify(config));
    const where = ["--cluster", "existing", "--kubeconfig", file, "--context", "x"];
    await refused(
      /runs the program \/bin\/touch to log in, which was not allowed: .*\n.*--allow-exec \/bin\/touch/,
      2,
      ...where,
    );
    await assert.rejects(readFile(proof));
  });

  it("refuses a user without permission", async () => {
    await kubectl("-n", "canary", "create", "serviceaccount", "weak");
    await kubectl("create", "clusterrolebinding", "weak", "--clusterrole=view", "--serviceaccount=canary:weak");
    const token = (await kubectl("-n", "canary", "create", "token", "weak")).trim();
    const weak = path.join(folder, "weak");
    await writeFile(weak, await readFile(kubeconfig, "utf8"));
    await kubectl("config", "set-credentials", "weak", `--token=${token}`, "--kubeconfig", weak);
    await kubectl("config", "set-context", "weak", `--cluster=${CONTEXT}`, "--user=weak", "--kubeconfig", weak);
    const where = ["--cluster", "existing", "--kubeconfig", weak, "--context", "weak"];
    await refused(/this user may not create namespaces, .*\n.*use a user with these permissions/, 2, ...where);
  });

  it("refuses a mesh that injects nothing", async () => {
    const name = "mutatingwebhookconfiguration/istio-sidecar-injector";
    const file = path.join(folder, "webhook.json");
    await writeFile(file, await kubectl("get", name, "-o", "json"));
    await kubectl("delete", name);
    try {
      await refused(/injection is off: no webhook injects sidecars for revision default/, 2, ...onIt());
    } finally {
      await kubectl("create", "-f", file);
    }
  });

  it("refuses a cluster without Istio", async () => {
    await kubectl("-n", "istio-system", "label", "deployment/istiod", "app-");
    await refused(/there is no Istio on this cluster/, 2, ...onIt());
  });
});
