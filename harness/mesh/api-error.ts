/** Reads the errors that the API server returns. */

import { ApiException } from "@kubernetes/client-node";

/** The API server does not know the kind, so no request was sent for the object. */
export class UnknownKindError extends Error {
  constructor(apiVersion: string, kind: string) {
    super(`Unrecognized API version and kind: ${apiVersion} ${kind}`);
    this.name = "UnknownKindError";
  }
}

/** The HTTP status of an API error; undefined if there was no HTTP response. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

/** The API server's reason code, such as `AlreadyExists`; undefined if the response has none. */
export function reasonOf(error: unknown): string | undefined {
  if (!(error instanceof ApiException)) return undefined;
  const body: unknown = typeof error.body === "string" ? parseOr(error.body) : error.body;
  return typeof body === "object" && body !== null && "reason" in body ? String(body.reason) : undefined;
}

/** The API server's message, without the text that the client adds. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiException) {
    const body: unknown = typeof error.body === "string" ? parseOr(error.body) : error.body;
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string")
      return body.message;
    return `HTTP ${error.code}: ${String(error.body).slice(0, 500)}`;
  }
  if (error instanceof Error)
    return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
  return String(error);
}

/** The fields that the API server says are wrong (`details.causes`), such as `spec.jwtRules[0].issuer`. */
export function fieldsOf(error: unknown): string[] {
  if (!(error instanceof ApiException)) return [];
  const body = (typeof error.body === "string" ? parseOr(error.body) : error.body) as
    { readonly details?: { readonly causes?: readonly { readonly field?: string }[] } } | undefined;
  return [...new Set((body?.details?.causes ?? []).flatMap(({ field }) => field ?? []))];
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
