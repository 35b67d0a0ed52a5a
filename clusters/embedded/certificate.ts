import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP, SocketAddress } from "node:net";

/**
 * X.509 certificates (RFC 5280) with ECDSA P-256 keys, written in DER by hand: the few fields that a cluster needs take
 * less code than a library takes time to load (0.2 s of a start of 7 s), and a test has `node:crypto` read them back.
 */

/** A certificate with its key, both PEM; the key is PKCS #8. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** A certificate authority that can sign. */
export interface Authority extends KeyPair {
  readonly name: Name;
  readonly key: KeyObject;
  readonly keyId: Buffer;
}

/** Kubernetes reads a client certificate's common name as the user and its organizations as the groups. */
export interface Name {
  readonly commonName: string;
  readonly organizations?: readonly string[];
}

const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
} as const;

/** How long a certificate lasts: a cluster lives for minutes or days, and a clock may be a little behind. */
const LIFETIME_MS = 365 * 86_400_000;
const CLOCK_SKEW_MS = 300_000;

/** A new self-signed authority. */
export function createAuthority(commonName: string): Authority {
  const name = { commonName };
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyId = keyIdOf(pair.publicKey);
  const certificate = signCertificate({
    subject: name,
    issuer: { name, key: pair.privateKey, keyId },
    publicKey: pair.publicKey,
    extensions: [
      extension(OID.basicConstraints, sequence(BOOLEAN_TRUE), true),
      extension(OID.keyUsage, bits(0b0000_0110, 1), true), // keyCertSign, cRLSign
      extension(OID.subjectKeyIdentifier, octets(keyId)),
    ],
  });
  return { name, key: pair.privateKey, keyId, certificate, privateKey: pemOf(pair.privateKey) };
}

/**
 * A certificate for a server (`hosts`: IP addresses and DNS names of its subjectAltName) or, without hosts, for a client.
 */
export function issueCertificate(authority: Authority, subject: Name, hosts: readonly string[] = []): KeyPair {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const usage = hosts.length > 0 ? OID.serverAuth : OID.clientAuth;
  const extensions = [
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, bits(0b1000_0000, 7), true), // digitalSignature
    extension(OID.extKeyUsage, sequence(oid(usage))),
    extension(OID.authorityKeyIdentifier, sequence(tlv(0x80, authority.keyId))),
  ];
  if (hosts.length > 0) extensions.push(extension(OID.subjectAltName, sequence(...hosts.map(generalName))));
  const certificate = signCertificate({ subject, issuer: authority, publicKey: pair.publicKey, extensions });
  return { certificate, privateKey: pemOf(pair.privateKey) };
}

function signCertificate(fields: {
  subject: Name;
  issuer: Pick<Authority, "name" | "key" | "keyId">;
  publicKey: KeyObject;
  extensions: readonly Buffer[];
}): string {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive, and never shorter than it looks (RFC 5280, 4.1.2.2)
  const now = Date.now();
  const toBeSigned = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
    tlv(0x02, serial),
    algorithm,
    distinguishedName(fields.issuer.name),
    sequence(time(new Date(now - CLOCK_SKEW_MS)), time(new Date(now + LIFETIME_MS))),
    distinguishedName(fields.subject),
    fields.publicKey.export({ type: "spki", format: "der" }),
    tlv(0xa3, sequence(...fields.extensions)),
  );
  const signature = sign("sha256", toBeSigned, fields.issuer.key);
  return pem("CERTIFICATE", sequence(toBeSigned, algorithm, bitString(signature)));
}

/** SHA-1 of the key's bits, as RFC 5280 4.2.1.2 (1) suggests; the uncompressed point is the end of the SPKI. */
function keyIdOf(publicKey: KeyObject): Buffer {
  const point = publicKey.export({ type: "spki", format: "der" }).subarray(-65);
  return createHash("sha1").update(point).digest();
}

function distinguishedName(name: Name): Buffer {
  const attribute = (type: string, value: string): Buffer =>
    tlv(0x31, sequence(oid(type), tlv(0x0c, Buffer.from(value, "utf8"))));
  return sequence(
    ...(name.organizations ?? []).map((value) => attribute(OID.organization, value)),
    attribute(OID.commonName, name.commonName),
  );
}

function generalName(host: string): Buffer {
  if (isIP(host) === 4) return tlv(0x87, Buffer.from(host.split(".").map(Number)));
  if (isIP(host) === 6) return tlv(0x87, ipv6Bytes(host));
  return tlv(0x82, Buffer.from(host, "ascii"));
}

function ipv6Bytes(host: string): Buffer {
  const canonical = new SocketAddress({ family: "ipv6", address: host }).address;
  const [head = "", tail] = canonical.split("::");
  const groups = (part: string | undefined): string[] => (part ? part.split(":") : []);
  const zeros = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array<string>(zeros).fill("0"), ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, "0")).join(""), "hex");
}

// DER (X.690): a tag, a length, a value.

const BOOLEAN_TRUE = Buffer.from([0x01, 0x01, 0xff]);

function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

function sequence(...items: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(items));
}

function octets(value: Buffer): Buffer {
  return tlv(0x04, value);
}

function bitString(value: Buffer, unused = 0): Buffer {
  return tlv(0x03, Buffer.concat([Buffer.from([unused]), value]));
}

/** One byte of named bits; DER drops trailing zero bits. */
function bits(value: number, unused: number): Buffer {
  return bitString(Buffer.from([value]), unused);
}

function extension(type: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(type), ...(critical ? [BOOLEAN_TRUE] : []), octets(value));
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
function time(date: Date): Buffer {
  const text = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050 ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
