/** Streams of requests on a real mesh, with one fault at a time: exit code 1 or 3 and the phase; 0 without a fault. */

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { PatchStrategy, type V1Namespace } from "@kubernetes/client-node";
import { toHandle, type ClusterHandle } from "../../clusters/cluster.ts";
import { startEmbedded, stopEmbedded } from "../../clusters/embedded/embedded.ts";
import { connect, type Kube, type Manifest } from "../../harness/mesh/client.ts";
import { execIn } from "../../harness/mesh/exec.ts";
import { waitFor, waitForDeployment } from "../../harness/mesh/wait.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { STREAM_NAMESPACE as namespace } from "../../harness/upgrade/baseline.ts";
import { complaintsOf, upgradeExitCode } from "../../harness/upgrade/upgrade.ts";
import type { UpgradeResult } from "../../harness/model/upgrade.ts";
import { startWatch } from "../../harness/upgrade/watch.ts";

const NAME = `faults-e2e-${process.pid}`;
const FAULT = "the fault";
/** Longer than a stream may be without a right answer. */
const LONG_MS = 7000;

describe("an upgrade's streams", () => {
  let kube: Kube;
  let handle: ClusterHandle;
  before(async () => {
    const cluster = await startEmbedded({ name: NAME, keep: true, progress: () => undefined });
    await cluster.ready();
    handle = await toHandle(cluster);
    kube = connect(cluster.kubeconfig);
  });
  after(() => stopEmbedded(NAME));

  /** What the streams make of a fault; the times in it are how long the fault lasts, and nothing is waited for by them. */
  const watchDuring = async (inject: () => Promise<void>) => {
    const ending = new AbortController();
    await using watch = await startWatch({
      ...{ kube, handle, perSecond: 20, meshWide: [], signal: ending.signal, progress: () => undefined },
      tokens: await createTokenFactory({ issuersDirs: [path.join(import.meta.dirname, "../../scenarios/issuers")] }),
    });
    await watch.withIngress(async () => {
      watch.phase(FAULT);
      await inject();
    });
    const streamed = await watch.end();
    await waitFor<V1Namespace, true>(
      kube,
      "/api/v1/namespaces",
      { fieldSelector: `metadata.name=${namespace}` },
      (namespaces) => (namespaces.size === 0 ? true : undefined),
      { limitMs: 120_000, code: "ERR_WORKLOAD_NOT_READY", explain: () => `${namespace} is still there` },
    );
    const unchanged = { meshWide: [], unexpected: 0, maxUnavailable: { share: 0.01 } };
    const result = { ...streamed, ...unchanged } as unknown as UpgradeResult;
    return { code: upgradeExitCode(result), complaints: complaintsOf(result), streams: result.streams };
  };

  const patch = async (manifest: Manifest): Promise<void> => {
    await kube.objects.patch(manifest, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
  };
  const scale = async (name: string, replicas: number): Promise<void> => {
    await patch({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace }, spec: { replicas } });
    if (replicas > 0) await waitForDeployment(kube, namespace, name);
  };
  /** Answers of the gateway itself, for a time, to requests that pass its policies. */
  const answerAtGateway = async (answer: object): Promise<void> => {
    const route = {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: "gateway", namespace },
    };
    const { spec } = await kube.objects.read<Manifest & { spec: { http: object[] } }>(route);
    await patch({ ...route, spec: { http: [answer] } });
    await delay(LONG_MS);
    await patch({ ...route, spec: { http: spec.http } });
  };
  const assertNamed = (complaints: readonly string[], ...patterns: readonly RegExp[]): void => {
    for (const pattern of [new RegExp(FAULT), ...patterns])
      assert.ok(
        complaints.some((each) => pattern.test(each)),
        `${pattern}:\n${complaints.join("\n")}`,
      );
  };

  it("prove that nothing was let through, without a fault", async () => {
    const { code, complaints, streams } = await watchDuring(() => delay(2000));
    assert.equal(code, 0, complaints.join("\n"));
    assert.equal(streams.length, 9);
  });

  it("catch policies that are gone for a moment", async () => {
    const { code, complaints } = await watchDuring(async () => {
      const base = { apiVersion: "security.istio.io/v1", metadata: { name: "guarded", namespace } };
      const policies: Manifest[] = [];
      for (const kind of ["RequestAuthentication", "AuthorizationPolicy"]) {
        const { spec } = await kube.objects.read<Manifest>({ ...base, kind });
        policies.push({ ...base, kind, spec });
      }
      for (const policy of policies) await kube.objects.remove(policy);
      await delay(1000);
      for (const policy of policies) await kube.objects.apply(policy);
    });
    assert.equal(code, 1, complaints.join("\n"));
    assertNamed(complaints, /^sidecar, no token: \d+ requests .* let through \(the fault/, /^sidecar, forged token: /);
    assert.ok(!complaints.some((each) => /gateway.* let through/.test(each)), complaints.join("\n"));
  });

  it("prove nothing while there is no workload", async () => {
    const { code, complaints } = await watchDuring(async () => {
      for (const name of ["guarded", "open"]) await scale(name, 0);
      await delay(LONG_MS);
      for (const name of ["guarded", "open"]) await scale(name, 1);
    });
    assert.equal(code, 1, complaints.join("\n"));
    const outage = /valid token: it got no right answer (in|for) /;
    assertNamed(complaints, outage, /requests that must be admitted failed \(the fault/);
  });

  for (const [what, answer] of [
    ["404", { directResponse: { status: 404 } }],
    ["302", { redirect: { uri: "/elsewhere", redirectCode: 302 } }],
    ["200 of its own", { directResponse: { status: 200 } }],
  ] as const)
    it(`prove nothing while a gateway answers ${what}`, async () => {
      const { code, complaints, streams } = await watchDuring(() => answerAtGateway(answer));
      assert.equal(code, 1, complaints.join("\n"));
      assertNamed(complaints, /^gateway, valid token: it got no right answer (in|for) /);
      assert.deepEqual(
        streams.flatMap(({ breaches }) => breaches),
        [],
        "what must be refused was refused before it had a route",
      );
    });

  it("prove nothing while a client is frozen", async () => {
    const { code, complaints } = await watchDuring(async () => {
      const script = `first() { for comm in /proc/[0-9]*/comm; do [ "$(cat $comm)" = curl ] && echo "$comm" && return; done; }
pid=$(first | cut -d/ -f3) && kill -STOP $pid && sleep ${LONG_MS / 1000} && kill -CONT $pid`;
      const where = { namespace, pod: "client", container: "curl" };
      const { exitCode, stderr } = await execIn(kube, where, ["sh", "-c", script]);
      assert.equal(exitCode, 0, stderr);
    });
    assert.equal(code, 3, complaints.join("\n"));
    assertNamed(complaints, /: it (sent nothing for|got no right answer (for|in)) /);
  });
});
