/** Parses a token like Envoy's JWT library, before its signature is verified (jwt_verify_lib, jwt.cc). */

import { ALGORITHMS } from "../model/token.ts";
import { parseProtoJson } from "./proto-json.ts";
import { ASSUMED } from "./token-places.ts";
import type { Tree } from "./tree.ts";

/** The library's status of a valid token. */
export const OK = "Ok";

/** A parsed token. */
export interface Parsed {
  /** `Ok`, or why it is not a token. */
  readonly status: string;
  readonly header?: Tree;
  readonly claims?: Tree;
  readonly signature?: Buffer;
  readonly compact: string;
}

/**
 * Checks in the order of jwt.cc.
 * @param assumed the claims of the token {@link ASSUMED}
 */
export function parse(compact: string, assumed: Tree | undefined): Parsed {
  if (compact === ASSUMED) return checkClaims({ status: OK, compact, ...(assumed && { claims: assumed }) });
  const fail = (status: string, more: Partial<Parsed> = {}): Parsed => ({ ...more, status, compact });
  const parts = compact.split(".");
  if (parts.length !== 3 || parts.some((part) => part === ""))
    return fail("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  const [head = "", body = "", signature = ""] = parts;
  const headBytes = unescapeBase64Url(head);
  if (headBytes === undefined) return fail("Jwt header is an invalid Base64url encoded");
  const header = parseProtoJson(headBytes);
  if (header === undefined) return fail("Jwt header is an invalid JSON");
  if (typeof header["alg"] !== "string")
    return fail("Jwt header [alg] field is required and must be a string", { header });
  if (!ALGORITHMS.some((alg) => alg === header["alg"])) return fail("Jwt header [alg] is not supported", { header });
  if (header["kid"] !== undefined && typeof header["kid"] !== "string")
    return fail("Jwt header [kid] field is not a string", { header });
  const bodyBytes = unescapeBase64Url(body);
  if (bodyBytes === undefined) return fail("Jwt payload is an invalid Base64url encoded", { header });
  const payload = parseProtoJson(bodyBytes);
  if (payload === undefined) return fail("Jwt payload is an invalid JSON", { header });
  const checked = checkClaims({ status: OK, header, claims: payload, compact });
  if (checked.status !== OK) return checked;
  const signatureBytes = unescapeBase64Url(signature);
  if (signatureBytes === undefined) return { ...checked, status: "Jwt signature is an invalid Base64url encoded" };
  return { ...checked, signature: signatureBytes };
}

function checkClaims(parsed: Parsed): Parsed {
  const claims = parsed.claims ?? {};
  for (const name of ["iss", "sub"])
    if (claims[name] !== undefined && typeof claims[name] !== "string")
      return { ...parsed, status: `Jwt payload [${name}] field is not a string` };
  for (const name of ["iat", "nbf", "exp"]) {
    const value = claims[name];
    if (value === undefined || (typeof value === "number" && value >= 0 && value < 2 ** 64)) continue;
    return {
      ...parsed,
      status:
        typeof value === "number"
          ? `Jwt payload [${name}] field is not a positive 64 bit integer`
          : `Jwt payload [${name}] field is not an integer`,
    };
  }
  const { aud, jti } = claims;
  if (jti !== undefined && typeof jti !== "string")
    return { ...parsed, status: "Jwt payload [jti] field is not a string" };
  if (
    aud !== undefined &&
    typeof aud !== "string" &&
    !(Array.isArray(aud) && aud.every((one) => typeof one === "string"))
  )
    return { ...parsed, status: "Jwt payload [aud] field is not a string or string list" };
  return parsed;
}

/** absl::WebSafeBase64Unescape: white space counts nowhere; padding is left out, or as long as it must be. */
function unescapeBase64Url(part: string): Buffer | undefined {
  const [, text, padding] = /^([\w-]*)(=*)$/.exec(part.replaceAll(/[ \t\n\v\f\r]/g, "")) ?? [];
  if (text === undefined || text.length % 4 === 1) return undefined;
  if (padding !== "" && padding?.length !== (4 - (text.length % 4)) % 4) return undefined;
  return Buffer.from(text, "base64url");
}
