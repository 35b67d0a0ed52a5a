import assert from "node:assert/strict";
import { X509Certificate, createPrivateKey, webcrypto } from "node:crypto";
import { it } from "node:test";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { issueLeaf } from "./certificate.ts";

it("a leaf names its addresses and is signed by the authority", async () => {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: new x509.Name([{ CN: [{ utf8String: "test CA" }] }]),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const privateKey = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey("pkcs8", keys.privateKey),
    "PRIVATE KEY",
  );
  const leaf = await issueLeaf({ certificate: ca.toString("pem"), privateKey }, ["a.example", "10.244.0.9"]);
  const certificate = new X509Certificate(leaf.certificate);
  assert.equal(certificate.checkHost("a.example"), "a.example");
  assert.equal(certificate.checkIP("10.244.0.9"), "10.244.0.9");
  assert.equal(certificate.checkIP("10.244.0.8"), undefined);
  const issuer = Buffer.from(new x509.X509Certificate(leaf.certificate).issuerName.toArrayBuffer());
  assert.deepEqual(issuer, Buffer.from(ca.subjectName.toArrayBuffer()));
  assert.ok(certificate.verify(new X509Certificate(ca.toString("pem")).publicKey));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(leaf.privateKey)));
});
