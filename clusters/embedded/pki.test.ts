import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { createPki, kubeconfigOf } from "./pki.ts";

const pki = createPki();

test("every certificate is signed by the cluster's authority, and none by the one for key sets", () => {
  const authority = new X509Certificate(pki.authority.certificate);
  const jwks = new X509Certificate(pki.jwksAuthority.certificate);
  for (const { certificate } of [...Object.values(pki.servers), ...Object.values(pki.clients)]) {
    const leaf = new X509Certificate(certificate);
    assert.ok(leaf.verify(authority.publicKey));
    assert.equal(leaf.verify(jwks.publicKey), false);
  }
});

test("the API server is reachable under each of its names", () => {
  const certificate = new X509Certificate(pki.servers.apiserver.certificate);
  for (const ip of ["127.0.0.1", "10.96.0.1", "10.244.0.1"]) assert.ok(certificate.checkIP(ip), ip);
  for (const host of ["localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"])
    assert.ok(certificate.checkHost(host), host);
});

test("clients have the users and groups that Kubernetes' own roles are bound to", () => {
  const subject = (client: keyof typeof pki.clients): string =>
    new X509Certificate(pki.clients[client].certificate).subject;
  assert.equal(subject("kubelet"), "O=system:nodes\nCN=system:node:meshproof");
  assert.equal(subject("scheduler"), "CN=system:kube-scheduler");
  assert.match(subject("admin"), /^O=system:masters\n/);
});

test("a kubeconfig has one context, trusts the authority and skips no verification", () => {
  const text = kubeconfigOf(pki, "admin", { context: "meshproof-x", port: 1234 });
  const config = JSON.parse(text) as {
    contexts: { name: string }[];
    clusters: { cluster: Record<string, string> }[];
  };
  assert.deepEqual(
    config.contexts.map(({ name }) => name),
    ["meshproof-x"],
  );
  assert.deepEqual(config.clusters[0]?.cluster, {
    server: "https://127.0.0.1:1234",
    "certificate-authority-data": Buffer.from(pki.authority.certificate).toString("base64"),
  });
});
