/** Writes and reads the few Protobuf messages of xDS that a proxy and istiod exchange (envoy.service.discovery.v3). */

/** What a proxy says of itself: `Node.metadata` is JSON. */
export interface NodeInfo {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface DiscoveryRequest {
  readonly node?: NodeInfo;
  readonly typeUrl: string;
  readonly names?: readonly string[];
  /** The version and nonce of the response that is acknowledged. */
  readonly version?: string;
  readonly nonce?: string;
}

/** A response without its resources. */
export interface DiscoveryResponse {
  readonly version: string;
  readonly typeUrl: string;
  readonly nonce: string;
}

const LENGTH_DELIMITED = 2;

export function writeRequest({ node, typeUrl, names = [], version, nonce }: DiscoveryRequest): Buffer {
  return Buffer.concat([
    ...(version === undefined ? [] : [field(1, version)]),
    ...(node === undefined
      ? []
      : [field(2, Buffer.concat([field(1, node.id), field(2, node.cluster), field(3, struct(node.metadata))]))]),
    ...names.map((name) => field(3, name)),
    field(4, typeUrl),
    ...(nonce === undefined ? [] : [field(5, nonce)]),
  ]);
}

/** @throws RangeError for a message that is cut short */
export function readResponse(message: Buffer): DiscoveryResponse {
  const found = { version: "", typeUrl: "", nonce: "" };
  const names: Readonly<Record<number, keyof typeof found>> = { 1: "version", 4: "typeUrl", 5: "nonce" };
  for (let at = 0; at < message.length;) {
    const [tag, afterTag] = readVarint(message, at);
    const [value, next] = readVarint(message, afterTag);
    at = next;
    if ((tag & 7) !== LENGTH_DELIMITED) continue;
    const name = names[tag >>> 3];
    if (name !== undefined) found[name] = message.toString("utf8", at, at + value);
    at += value;
  }
  return found;
}

/** google.protobuf.Struct */
function struct(value: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.concat(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([name, inner]) => field(1, Buffer.concat([field(1, name), field(2, jsonValue(inner))]))),
  );
}

/** google.protobuf.Value */
function jsonValue(value: unknown): Buffer {
  if (typeof value === "string") return field(3, value);
  if (typeof value === "boolean") return Buffer.from([(4 << 3) | 0, value ? 1 : 0]);
  if (typeof value === "number") {
    const bytes = Buffer.alloc(9, (2 << 3) | 1);
    bytes.writeDoubleLE(value, 1);
    return bytes;
  }
  if (Array.isArray(value)) return field(6, Buffer.concat(value.map((inner) => field(1, jsonValue(inner)))));
  if (typeof value === "object" && value !== null) return field(5, struct(value as Record<string, unknown>));
  return Buffer.from([(1 << 3) | 0, 0]);
}

function field(number: number, value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left % 128) + 128);
  }
}

function readVarint(message: Buffer, start: number): [value: number, next: number] {
  let value = 0;
  for (let at = start, factor = 1; ; at++, factor *= 128) {
    const byte = message.readUInt8(at);
    value += (byte & 127) * factor;
    if (byte < 128) return [value, at + 1];
  }
}
