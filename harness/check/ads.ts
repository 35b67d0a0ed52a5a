/** A proxy's side of ADS (gRPC without TLS), as far as istiod must know that the proxy is there and what it wants. */

import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { MeshproofError } from "../model/errors.ts";
import { readResponse, writeRequest, type DiscoveryRequest, type NodeInfo } from "./protobuf.ts";

const PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/** gRPC puts a flag and a length before each message. */
const PREFIX = 5;

export const LISTENERS = "type.googleapis.com/envoy.config.listener.v3.Listener";
export const ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/** All proxies share one connection. */
export interface Ads {
  open(node: NodeInfo): AdsStream;
  close(): void;
}

/** One proxy. */
export interface AdsStream {
  /** Subscribes, and waits for the first response. @throws ERR_COMPONENT where istiod ends the stream */
  subscribe(typeUrl: string, names?: readonly string[]): Promise<void>;
  close(): void;
}

export function connectAds(address: string): Ads {
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session === undefined || session.destroyed || session.closed) {
      session = connect(`http://${address}`);
      session.on("error", () => undefined); // each stream has it too
    }
    return session;
  };
  return {
    open: (node) => openStream(current(), node),
    close: () => session?.destroy(),
  };
}

function openStream(session: ClientHttp2Session, node: NodeInfo): AdsStream {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: PATH,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    te: "trailers",
  });
  const names = new Map<string, readonly string[]>();
  const waiting = new Map<string, { resolve(): void; reject(error: Error): void }>();
  let ended: Error | undefined;
  let first = true;
  const send = (request: DiscoveryRequest): void => {
    const message = writeRequest(first ? { node, ...request } : request);
    first = false;
    const prefix = Buffer.alloc(PREFIX);
    prefix.writeUInt32BE(message.length, 1);
    stream.write(Buffer.concat([prefix, message]));
  };
  const end = (why: string): void => {
    ended ??= new MeshproofError("ERR_COMPONENT", `istiod ended the stream of ${node.id}: ${why}`);
    for (const one of waiting.values()) one.reject(ended);
    waiting.clear();
  };
  onMessage(stream, (message) => {
    const { version, typeUrl, nonce } = readResponse(message);
    send({ typeUrl, version, nonce, names: names.get(typeUrl) ?? [] });
    waiting.get(typeUrl)?.resolve();
    waiting.delete(typeUrl);
  });
  stream.on("trailers", (trailers) => end(String(trailers["grpc-message"] ?? trailers["grpc-status"])));
  stream.on("error", (error: Error) => end(error.message));
  stream.on("close", () => end("closed"));
  return {
    subscribe: (typeUrl, wanted = []) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) {
          reject(ended);
          return;
        }
        names.set(typeUrl, wanted);
        waiting.set(typeUrl, { resolve, reject });
        send({ typeUrl, names: wanted });
      }),
    close: () => stream.close(),
  };
}

function onMessage(stream: ClientHttp2Stream, act: (message: Buffer) => void): void {
  let left = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    left = Buffer.concat([left, chunk]);
    while (left.length >= PREFIX) {
      const end = PREFIX + left.readUInt32BE(1);
      if (left.length < end) return;
      act(left.subarray(PREFIX, end));
      left = left.subarray(end);
    }
  });
}
