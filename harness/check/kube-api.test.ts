import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { pluralOf, startKubeApi, type KubeApi } from "./kube-api.ts";

describe("the API that istiod reads", () => {
  let api: KubeApi;
  const get = async (path: string, init?: RequestInit) => {
    const answer = await fetch(`${api.url}${path}`, init);
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const names = ({ body }: Awaited<ReturnType<typeof get>>) =>
    (body["items"] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
  before(async () => {
    const service = (name: string, namespace: string, labels = {}) => ({
      ...{ apiVersion: "v1", kind: "Service", metadata: { name, namespace, labels } },
    });
    const policy = { apiVersion: "security.istio.io/v1beta1", kind: "AuthorizationPolicy" };
    api = await startKubeApi(
      [
        service("a", "foo", { app: "a" }),
        service("b", "bar"),
        { ...policy, metadata: { name: "p", namespace: "foo" } },
      ],
      [],
    );
  });
  after(() => api[Symbol.asyncDispose]());

  it("lists by kind, namespace and label", async () => {
    assert.deepEqual(names(await get("/api/v1/services")), ["a", "b"]);
    assert.deepEqual(names(await get("/api/v1/namespaces/foo/services")), ["a"]);
    assert.deepEqual(names(await get("/api/v1/services?labelSelector=app%3Da")), ["a"]);
    assert.deepEqual(names(await get("/api/v1/services?labelSelector=%21app")), ["b"]);
    assert.deepEqual(names(await get("/api/v1/services?fieldSelector=metadata.name%3Db")), ["b"]);
    assert.deepEqual(names(await get("/api/v1/configmaps")), []);
  });

  it("has each version of a kind", async () => {
    const { body } = await get("/apis/security.istio.io/v1/authorizationpolicies");
    assert.equal((body["items"] as { apiVersion: string }[])[0]?.apiVersion, "security.istio.io/v1");
  });

  it("has one object, or 404", async () => {
    assert.equal((await get("/api/v1/namespaces/foo/services/a")).status, 200);
    assert.equal((await get("/api/v1/namespaces/foo/services/b")).status, 404);
  });

  it("defines Istio's kinds, by metadata alone where only that is asked for", async () => {
    const accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const { body } = await get(path, { headers: { accept } });
    assert.equal(body["kind"], "PartialObjectMetadataList");
    assert.ok(names({ status: 200, body }).includes("authorizationpolicies.security.istio.io"));
  });

  it("keeps nothing of what is written", async () => {
    const lease = JSON.stringify({ kind: "Lease", metadata: { name: "l" } });
    const path = "/apis/coordination.k8s.io/v1/namespaces/foo/leases";
    assert.equal((await get(path, { method: "POST", body: lease })).status, 201);
    assert.deepEqual(names(await get(path)), []);
  });

  it("names kinds as Kubernetes does", () => {
    const kinds = ["Gateway", "PeerAuthentication", "AuthorizationPolicy", "GatewayClass", "WorkloadEntry", "Ingress"];
    assert.deepEqual(kinds.map(pluralOf), [
      ...["gateways", "peerauthentications", "authorizationpolicies", "gatewayclasses", "workloadentries", "ingresses"],
    ]);
  });
});
