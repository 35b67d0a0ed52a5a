/** Channel numbers of the remote command protocols over WebSocket (k8s.io/streaming, wsstream: the first byte of a message). */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const;

/** v5 adds the close channel; v4 and the plain one differ here only in the last message. */
const SUBPROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"] as const;

/** The best sub-protocol that a client offers; undefined if none is known. */
export function chooseSubprotocol(offered: ReadonlySet<string>): string | undefined {
  return SUBPROTOCOLS.find((name) => offered.has(name));
}

export type ClientMessage =
  | { readonly kind: "stdin"; readonly data: Buffer }
  | { readonly kind: "stdin-end" }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  | { readonly kind: "nothing" };

/** Parses a client's message. Unknown channels are ignored, as in Kubernetes. */
export function readMessage(message: Buffer): ClientMessage {
  const data = message.subarray(1);
  switch (message[0]) {
    case CHANNEL.stdin:
      return { kind: "stdin", data };
    case CHANNEL.close:
      return data[0] === CHANNEL.stdin ? { kind: "stdin-end" } : { kind: "nothing" };
    case CHANNEL.resize: {
      const size = parseSize(data);
      return size ? { kind: "resize", ...size } : { kind: "nothing" };
    }
    default:
      return { kind: "nothing" };
  }
}

function parseSize(data: Buffer): { columns: number; rows: number } | undefined {
  try {
    const { Width, Height } = JSON.parse(data.toString()) as { Width?: unknown; Height?: unknown };
    const isSize = (n: unknown): n is number => Number.isInteger(n) && (n as number) > 0 && (n as number) < 65536;
    return isSize(Width) && isSize(Height) ? { columns: Width, rows: Height } : undefined;
  } catch {
    return undefined;
  }
}

export function frame(channel: number, data: Buffer | string): Buffer {
  return Buffer.concat([Buffer.from([channel]), Buffer.from(data)]);
}

/** The v1.Status that ends a command, as kubectl reads exit codes from it. */
export function exitStatus(code: number): object {
  return code === 0
    ? { metadata: {}, status: "Success" }
    : {
        metadata: {},
        status: "Failure",
        reason: "NonZeroExitCode",
        message: `command terminated with non-zero exit code: exit status ${code}`,
        details: { causes: [{ reason: "ExitCode", message: String(code) }] },
      };
}

/** The v1.Status of a command that could not be run at all. */
export function errorStatus(message: string): object {
  return { metadata: {}, status: "Failure", reason: "InternalError", message, code: 500 };
}
