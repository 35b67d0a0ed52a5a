import { createInflate, type Inflate } from "node:zlib";

/**
 * The part of SPDY/3.1 that Kubernetes' port forwarding uses between a client that opens streams and a server that
 * accepts them (spdy-protocol-draft3-1). There is no flow control: Go's spdystream has none.
 */
export type SpdyFrame =
  | {
      readonly kind: "open";
      readonly stream: number;
      readonly headers: ReadonlyMap<string, string>;
      readonly last: boolean;
    }
  | { readonly kind: "data"; readonly stream: number; readonly data: Buffer; readonly last: boolean }
  | { readonly kind: "reset"; readonly stream: number }
  | { readonly kind: "ping"; readonly id: number }
  | { readonly kind: "other" };

const VERSION = 3;
const TYPE = { synStream: 1, synReply: 2, rstStream: 3, ping: 6 } as const;
const FLAG_FIN = 1;
const HEAD = 8;

/** Reads frames from a byte stream that arrives in pieces. */
export class SpdyReader {
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY });
  readonly #onFrame: (frame: SpdyFrame) => void;
  #rest = Buffer.alloc(0);
  #work: Promise<void> = Promise.resolve();

  constructor(onFrame: (frame: SpdyFrame) => void) {
    this.#onFrame = onFrame;
  }

  /** Resolves once the complete frames of this piece were delivered, in order. Rejects if the headers are invalid. */
  push(piece: Buffer): Promise<void> {
    this.#rest = Buffer.concat([this.#rest, piece]);
    while (this.#rest.length >= HEAD) {
      const length = this.#rest.readUIntBE(5, 3);
      if (this.#rest.length < HEAD + length) break;
      const whole = this.#rest.subarray(0, HEAD + length);
      this.#rest = this.#rest.subarray(HEAD + length);
      this.#work = this.#work.then(async () => this.#onFrame(await this.#read(whole)));
    }
    return this.#work;
  }

  async #read(frame: Buffer): Promise<SpdyFrame> {
    const first = frame.readUInt32BE(0);
    const last = (frame[4]! & FLAG_FIN) !== 0;
    const payload = frame.subarray(HEAD);
    if (first < 0x80000000) return { kind: "data", stream: first, data: payload, last };
    switch (first & 0xffff) {
      case TYPE.synStream:
        // Stream, associated stream, priority and slot come before the headers.
        return {
          kind: "open",
          stream: payload.readUInt32BE(0),
          headers: await this.#headers(payload.subarray(10)),
          last,
        };
      case TYPE.rstStream:
        return { kind: "reset", stream: payload.readUInt32BE(0) };
      case TYPE.ping:
        return { kind: "ping", id: payload.readUInt32BE(0) };
      default:
        return { kind: "other" };
    }
  }

  /** One zlib stream runs through the header blocks of a whole connection, flushed at the end of each. */
  async #headers(block: Buffer): Promise<Map<string, string>> {
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once("error", reject);
      this.#inflate.write(block, () => {
        this.#inflate.off("error", reject);
        resolve();
      });
    });
    const text = (this.#inflate.read() as Buffer | null) ?? Buffer.alloc(4);
    const headers = new Map<string, string>();
    let at = 4;
    const word = (): string => {
      const end = at + 4 + text.readUInt32BE(at);
      const value = text.toString("latin1", at + 4, end);
      at = end;
      return value;
    };
    for (let left = text.readUInt32BE(0); left > 0; left--) headers.set(word(), word());
    return headers;
  }
}

/** Writes frames; keeps whether the zlib stream of its header blocks was begun. */
export class SpdyWriter {
  #begun = false;

  /** Accepts a stream, without headers. */
  reply(stream: number): Buffer {
    // "No headers" as a stored block and an empty flush block, which need no compressor, after the header of the zlib stream
    // (RFC 1950, RFC 1951).
    const stored = [0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0];
    const block = [...(this.#begun ? [] : [0x78, 0x01]), ...stored, 0x00, 0x00, 0x00, 0xff, 0xff];
    this.#begun = true;
    return control(TYPE.synReply, Buffer.concat([uint32(stream), Buffer.from(block)]));
  }

  data(stream: number, data: Buffer | string, last: boolean): Buffer {
    const body = Buffer.from(data);
    return Buffer.concat([uint32(stream), uint32(((last ? FLAG_FIN : 0) << 24) | body.length), body]);
  }

  /** Ends a stream both ways; status 5 is CANCEL. */
  reset(stream: number): Buffer {
    return control(TYPE.rstStream, Buffer.concat([uint32(stream), uint32(5)]));
  }

  ping(id: number): Buffer {
    return control(TYPE.ping, uint32(id));
  }
}

function control(type: number, payload: Buffer): Buffer {
  return Buffer.concat([uint32(0x80000000 + (VERSION << 16) + type), uint32(payload.length), payload]);
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value >>> 0);
  return buffer;
}

/** The dictionary of header blocks (draft 3, section 2.6.10.1): words with their lengths, then plain text. */
const DICTIONARY = Buffer.concat([
  ...(
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow " +
    "authorization cache-control connection content-base content-encoding content-language content-length " +
    "content-location content-md5 content-range content-type date etag expect expires from host if-match " +
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma " +
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade " +
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie " +
    "keep-alive origin"
  )
    .split(" ")
    .flatMap((word) => [uint32(word.length), Buffer.from(word.replace("_", " "))]),
  Buffer.from(
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505" +
      "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized" +
      "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable" +
      "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" +
      "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain," +
      "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
  ),
]);
