import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { connectWith } from "./client.ts";

/** A self-signed certificate for 127.0.0.1, and its key. */
async function selfSigned(): Promise<{ cert: string; key: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: new x509.Name([{ CN: [{ utf8String: "test" }] }]),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
  });
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  return { cert: cert.toString("pem"), key };
}

it("requests one after the other share a connection, and another user gets a new one", async () => {
  const pem = await selfSigned();
  const server = createServer(pem, (_request, response) => {
    response.setHeader("content-type", "application/json").end('{"kind":"PodList","apiVersion":"v1","items":[]}');
  });
  let connections = 0;
  server.on("secureConnection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const config = new KubeConfig();
    const caData = Buffer.from(pem.cert).toString("base64");
    const server1 = { name: "c", server: `https://127.0.0.1:${port}`, caData, skipTLSVerify: false };
    config.loadFromClusterAndUser(server1, { name: "u", token: "a" });
    const kube = connectWith(config);
    for (let i = 0; i < 5; i++) await kube.core.listNamespacedPod({ namespace: "foo" });
    await kube.objects.get("/api/v1/namespaces/foo/pods");
    // The first connection may still be busy when the second request is sent.
    const shared = connections;
    assert.ok(shared <= 2, `${shared} connections for 6 requests`);
    const certificate = Buffer.from(pem.cert).toString("base64");
    config.users = [{ name: "u", certData: certificate, keyData: Buffer.from(pem.key).toString("base64") }];
    await kube.core.listNamespacedPod({ namespace: "foo" });
    assert.equal(connections, shared + 1);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
