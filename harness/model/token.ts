/** Schemas of tokens and issuers. The names come from RFC 7519 (claims), RFC 7515 (header), RFC 7518 (alg). */

import * as z from "zod";
import { anything, form, name, text, type Immutable } from "./schema.ts";

/** The algorithms that Envoy's jwt_authn verifies: RFC 7518 section 3.1 and RFC 8037 (EdDSA). */
const algorithm = z.enum([
  ...(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const),
  ...(["ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "EdDSA"] as const),
]);
export type Algorithm = z.infer<typeof algorithm>;
export const ALGORITHMS = algorithm.options;

/** Ways to change a token. `intact` leaves it as it is. */
export const tokenVariant = z
  .enum([
    "intact",
    "broken-signature",
    "other-key",
    "other-algorithm",
    "other-issuer",
    "expired",
    "not-a-jwt",
    "alg-none",
    "alg-none-signed",
    "alg-none-odd-case",
    "alg-missing",
    "alg-empty",
    "alg-not-text",
    "alg-unknown",
    "alg-lower-case",
    "hmac-with-public-pem",
    "hmac-with-public-der",
    "hmac-with-public-jwk",
    "other-payload",
    "other-header",
    "no-signature",
    "two-parts",
    "four-parts",
    "empty-header",
    "empty-payload",
    "swapped-parts",
    "short-signature",
    "long-signature",
    "zero-signature",
    "der-signature",
    "padded-signature",
    "padded-payload",
    "header-not-base64url",
    "payload-not-base64url",
    "signature-not-base64url",
    "header-not-json",
    "payload-not-json",
    "payload-not-object",
    "duplicate-alg",
    "duplicate-claim",
  ])
  .describe("A way to change the token.");
export type TokenVariant = z.infer<typeof tokenVariant>;
export const TOKEN_VARIANTS = tokenVariant.options;

const tokenPlace = z.union([
  z
    .strictObject({
      header: text("Its name."),
      prefix: z.string().describe("Text before the token, as written.").optional(),
      suffix: z.string().describe("Text after the token, as written.").optional(),
    })
    .describe("A header."),
  z.strictObject({ query: text("Its name.") }).describe("A query parameter."),
  z.strictObject({ cookie: text("Its name.") }).describe("A cookie parameter."),
]);
/** The place of a token in a request. */
export type TokenPlace = Immutable<z.infer<typeof tokenPlace>>;

const bytes = (description: string) =>
  z
    .union([
      z.string().describe("Text, in UTF-8."),
      z
        .strictObject({
          base64: form("base64 (RFC 4648)", /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u),
        })
        .describe("Any bytes."),
    ])
    .describe(description);
/** Bytes as a scenario writes them. */
export type Bytes = Immutable<z.infer<ReturnType<typeof bytes>>>;

const seconds = (description: string) => z.int().meta({ title: "whole seconds", description });

export const tokenSpec = z
  .strictObject({
    issuer: name("Name of a file in scenarios/issuers."),
    published: z
      .boolean()
      .describe("The sample token that the issuer publishes, verbatim (issuer istio-sample).")
      .optional(),
    alg: algorithm.describe("JOSE algorithm (RFC 7518, RFC 8037); default the issuer's first key's.").optional(),
    signedBy: z
      .literal("unknown-key")
      .describe("Sign with a key of the same type that is not in the issuer's JWKS.")
      .optional(),
    claims: anything("Claims (RFC 7519) that replace or extend the issuer's; null removes one.").optional(),
    header: anything(
      "Header fields (RFC 7515) that replace or extend alg, kid and typ; null removes one; `jwk: own` is the key that signed.",
    ).optional(),
    rawHeader: bytes(
      "The JOSE Header (RFC 7515) as it is sent, in the place of the JSON of the header's fields.",
    ).optional(),
    rawPayload: bytes("The JWS Payload (RFC 7515) as it is sent, in the place of the JSON of the claims.").optional(),
    hmacSecret: bytes(
      "Sign with HMAC and this secret: HS256, or the HS algorithm of `alg`. The header has this algorithm and the kid of the issuer's key.",
    ).optional(),
    notBefore: seconds("Seconds from now until `nbf`; may be negative.").optional(),
    issuedAt: seconds("Seconds from now until `iat`; may be negative.").optional(),
    size: z
      .int()
      .min(1)
      .max(262144)
      .meta({ title: "bytes", description: "Minimum size of the token in bytes; a claim `filler` makes it that long." })
      .optional(),
    in: z
      .union([...tokenPlace.options, z.array(tokenPlace).min(1)])
      .describe("Where a request carries it; default the header Authorization with the prefix Bearer.")
      .optional(),
    expiresIn: seconds("Seconds from now until `exp`; may be negative.").optional(),
    variant: tokenVariant.optional(),
  })
  .describe("How a token is made.");
/** How a token is made; never a pasted string. */
export type TokenSpec = Immutable<z.infer<typeof tokenSpec>>;

const fileBesideIssuer = (ending: "json" | "jwt" | "pem", description: string) =>
  form(
    `the name of a .${ending} file beside the issuer's`,
    new RegExp(`^(?!\\.)[A-Za-z0-9._-]+\\.${ending}$`, "u"),
    description,
  );

const issuerKey = z.strictObject({
  kid: text("Unique among the issuer's keys (RFC 7517 section 4.5)."),
  alg: algorithm,
  privateKey: fileBesideIssuer(
    "pem",
    "Published private key (PKCS #8 or PKCS #1). Without it a key is made in memory for the run.",
  ).optional(),
  bits: z
    .int()
    .min(512)
    .max(2047)
    .meta({
      title: "bits",
      description: "Length of an RSA key that is made shorter than the 2048 bits that RFC 7518 demands.",
    })
    .optional(),
});
export type IssuerKey = Immutable<z.infer<typeof issuerKey>>;

/** A file of scenarios/issuers. */
export const issuerFile = z.strictObject({
  iss: text("The claim `iss`."),
  origin: text("Where published keys and tokens come from.").optional(),
  claims: anything("Claims of every token of this issuer unless a token says otherwise.").optional(),
  jwks: fileBesideIssuer(
    "json",
    "Published JWKS, served and inlined verbatim instead of one made from the keys.",
  ).optional(),
  publishedToken: fileBesideIssuer("jwt", "A token that the issuer published.").optional(),
  keys: z.array(issuerKey).min(1),
});

export interface Issuer extends Immutable<z.infer<typeof issuerFile>> {
  /** The folder of its file and of the files that it names. */
  readonly folder: string;
  /** The file's name without `.yaml`. */
  readonly name: string;
  readonly claims: Readonly<Record<string, unknown>>;
}
