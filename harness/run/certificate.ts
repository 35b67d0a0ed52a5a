import "reflect-metadata"; // @peculiar/x509 resolves its parts through it
import { isIP } from "node:net";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { CertificateAuthority } from "../../clusters/cluster.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * A server certificate for IP addresses and DNS names (subjectAltName, RFC 5280 4.2.1.6), valid for a day.
 * @param authority the signing CA; without one the certificate is self-signed, and no client trusts it
 * @returns certificate and PKCS #8 key, both PEM.
 */
export async function issueLeaf(
  authority: CertificateAuthority | undefined,
  addresses: readonly string[],
): Promise<{ certificate: string; privateKey: string }> {
  const subject = "CN=meshproof outside-host";
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    // As it is encoded there: Go compares the bytes, and a UTF8String is not a PrintableString (RFC 5280 section 7.1).
    issuer: authority ? new x509.X509Certificate(authority.certificate).subjectName : subject,
    // eslint-disable-next-line no-restricted-syntax -- a certificate holds by the wall clock
    notBefore: new Date(Date.now() - 60_000),
    // eslint-disable-next-line no-restricted-syntax -- a certificate holds by the wall clock
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: authority ? await readKey(authority.privateKey) : keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(addresses.map((value) => ({ type: isIP(value) ? "ip" : "dns", value }))),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certificate: certificate.toString("pem"), privateKey: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") };
}

async function readKey(pem: string): Promise<webcrypto.CryptoKey> {
  return await webcrypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(pem), ALGORITHM, false, ["sign"]);
}
