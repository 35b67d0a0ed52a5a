import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ApiException, type V1Pod } from "@kubernetes/client-node";
import { sendEvents, serveApi } from "./api-server.fixture.ts";
import type { Kube, Manifest } from "./client.ts";
import { installIstio } from "./install.ts";

const CRD = "gateways.networking.istio.io";
const MANIFESTS: readonly Manifest[] = [
  { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "istiod", namespace: "istio-system" } },
  { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: CRD } },
];
const COMPLETE = { observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
const INJECTED = { spec: { containers: [{ name: "app" }, { name: "istio-proxy" }] } };
const BARE = { spec: { containers: [{ name: "app" }] } };
const refusal = (code: number, message: string): Error => new ApiException(code, "", JSON.stringify({ message }), {});

interface Faked {
  /** The name of the Deployment that becomes complete. */
  readonly istiod?: string;
  /** What comes of each pod that is created; the last one stays. */
  readonly pods?: readonly (object | Error)[];
  /** What comes of each Gateway without servers. */
  readonly gateways?: readonly (object | Error)[];
}

/** A cluster; `done` lists what was asked of it, in order. */
async function cluster(t: TestContext, { istiod = "istiod", pods = [INJECTED], gateways }: Faked = {}) {
  const done: string[] = [];
  const answers = { pod: [...pods], gateway: [...(gateways ?? [refusal(400, "denied")])] };
  const next = (kind: keyof typeof answers): object => {
    const [answer] = answers[kind].length > 1 ? answers[kind].splice(0, 1) : answers[kind];
    if (answer instanceof Error) throw answer;
    return answer ?? {};
  };
  const { config } = await serveApi(t, {
    http: ({ url = "" }, response) => {
      if (url.includes("customresourcedefinitions")) {
        const crd = { metadata: { name: CRD } };
        const withStatus = (status: string): object => ({
          ...crd,
          status: {
            conditions: [
              { type: "NamesAccepted", status: "True" },
              { type: "Established", status },
            ],
          },
        });
        sendEvents(response, ["ADDED", crd], ["MODIFIED", withStatus("False")]);
        done.push("watch CRDs");
        setTimeout(() => {
          done.push("CRDs established");
          sendEvents(response, ["MODIFIED", withStatus("True")]);
        }, 50);
      } else {
        done.push("watch Deployments");
        const metadata = { name: istiod, namespace: "istio-system" };
        sendEvents(response, ["ADDED", { metadata, spec: { replicas: 1 }, status: COMPLETE }]);
      }
    },
  });
  const objects = {
    async apply({ kind, metadata }: Manifest, { dryRun }: { dryRun: boolean }): Promise<object> {
      if (kind === "CustomResourceDefinition") await delay(30);
      done.push(`${dryRun ? "try" : "apply"} ${kind} ${metadata.name}`);
      return dryRun ? next("gateway") : {};
    },
  };
  const core = {
    createNamespacedPod: ({ dryRun }: { dryRun?: string }) => {
      done.push(dryRun === "All" ? "try Pod" : "create Pod");
      return new Promise<V1Pod>((resolve) => resolve(next("pod")));
    },
  };
  return { kube: { config, objects, core } as unknown as Kube, done };
}

const progress = (): void => undefined;

describe("installing Istio", { timeout: 30_000 }, () => {
  it("applies the CRDs before what needs them, and waits for them, istiod and both webhooks", async (t) => {
    const { kube, done } = await cluster(t);
    await installIstio(kube, MANIFESTS, { progress });
    assert.deepEqual(done.slice(0, 2).sort(), [
      `apply CustomResourceDefinition ${CRD}`,
      "apply Namespace istio-system",
    ]);
    assert.deepEqual(done.slice(2, 4).sort(), ["apply Deployment istiod", "watch CRDs"]);
    assert.deepEqual(done.slice(4), [
      "CRDs established",
      "watch Deployments",
      "try Pod",
      "try Gateway meshproof-validation",
    ]);
  });

  it("asks the webhooks until one injects a sidecar and the other denies: an answer without that is not enough", async (t) => {
    const { kube, done } = await cluster(t, {
      pods: [refusal(500, "no endpoints"), BARE, INJECTED],
      gateways: [{}, refusal(500, "failed calling webhook"), refusal(400, "denied")],
    });
    await installIstio(kube, MANIFESTS, { progress });
    assert.deepEqual(
      done.filter((each) => each.startsWith("try")),
      [...Array<string>(3).fill("try Pod"), ...Array<string>(3).fill("try Gateway meshproof-validation")],
    );
  });

  it("waits for the istiod of its revision", async (t) => {
    const { kube, done } = await cluster(t, { istiod: "istiod-1-31-0" });
    await installIstio(kube, MANIFESTS, { progress, istiod: "istiod-1-31-0" });
    assert.equal(done.at(-1), "try Gateway meshproof-validation");
  });

  it("is given up at a signal", async (t) => {
    const stop = new AbortController();
    const { kube, done } = await cluster(t, { pods: [BARE] });
    const installing = installIstio(kube, MANIFESTS, { progress, signal: stop.signal });
    setTimeout(() => stop.abort(new Error("interrupted")), 400);
    await assert.rejects(installing, /^Error: interrupted$/);
    assert.ok(!done.includes("try Gateway meshproof-validation"));
  });
});
