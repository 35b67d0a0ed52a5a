/** Tokens with a part that a scenario's author has written as bytes, or with a chosen secret. */

import type { Bytes, TokenSpec, TokenVariant } from "../model/token.ts";
import { parseObject } from "./verify.ts";

/** How much of a header or a payload is shown of bytes that a scenario's author wrote. */
const SHOWN_CHARACTERS = 120;
/** What cannot be said of a token besides the bytes of one of its parts, or its secret. */
export const RAW = {
  rawHeader: ["header"],
  rawPayload: ["claims", "expiresIn", "notBefore", "issuedAt", "size"],
  hmacSecret: ["signedBy"],
} as const satisfies Partial<Record<keyof TokenSpec, readonly (keyof TokenSpec)[]>>;

/** Whether a token has a part that its author has written. */
export function isRaw(spec: TokenSpec | undefined): boolean {
  return (Object.keys(RAW) as (keyof typeof RAW)[]).some((raw) => spec?.[raw] !== undefined);
}

/** What is wrong with a variant of such a token: its bytes are sent as they are. */
export function contradictionOf(spec: TokenSpec | undefined, variant: TokenVariant): string | undefined {
  if (variant === "intact" || !isRaw(spec)) return undefined;
  return `a token with ${Object.keys(RAW).join(", ")} has no variant ${variant}`;
}

/** The bytes that a scenario writes as text or in base64. */
export function bytesOf(written: Bytes | undefined): Buffer | undefined {
  if (written === undefined) return undefined;
  return typeof written === "string" ? Buffer.from(written) : Buffer.from(written.base64, "base64");
}

/** The header's fields in bytes that a scenario's author wrote; none if they are not a JSON object. */
export function fieldsOf(written: Bytes | undefined): Readonly<Record<string, unknown>> | undefined {
  const bytes = bytesOf(written);
  return bytes && (parseObject(bytes) ?? {});
}

/** For people: as a scenario writes them, cut short. */
export function shorten(bytes: Bytes): string {
  const text = JSON.stringify(bytes);
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
