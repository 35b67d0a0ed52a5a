import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { createAuthority, issueCertificate } from "./certificate.ts";

test("an authority is a self-signed CA", () => {
  const authority = createAuthority("test-ca");
  const certificate = new X509Certificate(authority.certificate);
  assert.equal(certificate.ca, true);
  assert.equal(certificate.subject, "CN=test-ca");
  assert.ok(certificate.verify(certificate.publicKey));
  assert.ok(certificate.checkIssued(certificate));
});

test("a server certificate chains to its authority and names its hosts", () => {
  const authority = createAuthority("test-ca");
  const pair = issueCertificate(authority, { commonName: "server" }, [
    "10.96.0.1",
    "::1",
    "fd00:1::2",
    "kubernetes.default.svc",
  ]);
  const certificate = new X509Certificate(pair.certificate);
  const issuer = new X509Certificate(authority.certificate);
  assert.ok(certificate.checkIssued(issuer));
  assert.ok(certificate.verify(issuer.publicKey));
  assert.equal(certificate.ca, false);
  assert.equal(certificate.checkIP("10.96.0.1"), "10.96.0.1");
  assert.equal(certificate.checkIP("::1"), "::1");
  assert.equal(certificate.checkIP("fd00:1::2"), "fd00:1::2");
  assert.equal(certificate.checkHost("kubernetes.default.svc"), "kubernetes.default.svc");
  assert.equal(certificate.checkHost("example.com"), undefined);
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
});

test("a client certificate carries user and groups, and another authority did not sign it", () => {
  const pair = issueCertificate(createAuthority("one"), { commonName: "admin", organizations: ["system:masters"] });
  const certificate = new X509Certificate(pair.certificate);
  assert.equal(certificate.subject, "O=system:masters\nCN=admin");
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  assert.equal(certificate.verify(new X509Certificate(createAuthority("one").certificate).publicKey), false);
});

test("both sides of a TLS connection accept each other's certificate", async () => {
  const authority = createAuthority("test-ca");
  const server = issueCertificate(authority, { commonName: "server" }, ["127.0.0.1"]);
  const client = issueCertificate(authority, { commonName: "user", organizations: ["a", "b"] });
  const listener = createServer({
    key: server.privateKey,
    cert: server.certificate,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "secureConnection");
  const socket = connect({
    host: "127.0.0.1",
    port: (listener.address() as AddressInfo).port,
    ca: authority.certificate,
    key: client.privateKey,
    cert: client.certificate,
  });
  await once(socket, "secureConnect");
  const [peer] = (await accepted) as [TLSSocket];
  assert.ok(socket.authorized);
  assert.ok(peer.authorized);
  socket.destroy();
  listener.close();
});
