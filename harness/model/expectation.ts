/** The answer that a check of scenario.yaml expects. docs/writing-a-scenario.md describes it for authors. */

import * as z from "zod";
import { anything, filled, form, text } from "./schema.ts";

export const headerName = form("a header name", /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u);

export const headerValue = form("a header value on one line", /^[^\r\n\u0000]*$/u);

/** A value that is sent: `\xHH` is a byte. */
export const sentHeaderValue = form("a header value on one line", /^(?!.*\\x0[0aAdD])[^\r\n\u0000]*$/u);

const status = z.int().min(100).max(599).meta({
  title: "an HTTP status",
  description:
    "The status alone: 401 means denied by authentication, 403 denied by authorization, anything else the workload's own answer.",
});

/** What may come in the place of an answer, each a fact that the client sees. */
export const NO_ANSWERS = ["closed", "reset", "tls-refused", "dns"] as const;

const noAnswer = (what: (typeof NO_ANSWERS)[number], description: string) =>
  z.literal(what).meta({ title: what, description });

/** What may come in the place of a status. */
const withoutStatus = [
  noAnswer("closed", "The connection is opened, and closed without an answer."),
  noAnswer("reset", "The connection is opened, and closed by a TCP reset without an answer."),
  noAnswer("tls-refused", "The other side ends the TLS handshake."),
  noAnswer("dns", "The name of the host does not resolve."),
] as const;

const allowed = z
  .literal("allowed")
  .meta({ title: "allowed", description: "The workload answers, with whatever status." });

const answerer = z.enum(["authentication", "authorization", "workload", "proxy"]);

const pattern = z
  .strictObject({ matches: text("A regular expression (RE2) that must match the whole text.") })
  .describe("A regular expression.");

const body = z
  .union([
    text("Text that the reply body must contain."),
    z.strictObject({ is: z.string().describe("The whole text.") }).describe("The exact text."),
    pattern,
  ])
  .describe("The reply body; of a gRPC answer, its grpc-message.");

const headers = filled(
  z.record(headerName, z.union([headerValue, z.boolean(), z.null(), pattern])).meta({
    description:
      "Header of the reply to its exact value (`${ns}` is filled in); null for absent, true for present, or a regular expression.",
  }),
);

const received = z
  .strictObject({
    headers: z
      .record(
        z.string(),
        z.union([
          z.string(),
          z.boolean(),
          z.null(),
          z.strictObject({ claims: anything() }).describe("A base64url JSON object."),
        ]),
      )
      .describe("Header name to its value; null for absent, true for present, claims for a base64url header.")
      .optional(),
    path: text("Path and query as the workload saw them (the path /anything echoes them).").optional(),
  })
  .describe("What the workload received, by httpbin's echo.");

const demands = {
  by: answerer.describe("Who must have answered, if it is not the one that the status implies.").optional(),
  body: body.optional(),
  headers: headers.optional(),
  jsonKey: text("Top-level key that the reply body, a JSON object, must have.").optional(),
  details: text("Text that Envoy's response code details (access log) must contain.").optional(),
  policy: text("The AuthorizationPolicy whose rule must have matched, by the response code details.").optional(),
  received: received.optional(),
};

/** An expected answer; `by` is needed if it differs from the one that the status implies. */
export const demand = z
  .strictObject({ status: z.union([status, ...withoutStatus, allowed]), ...demands })
  .describe("An answer, and why.");

/** An expected answer of gRPC, which has the HTTP status 200 whatever it says. */
export const grpcDemand = z
  .strictObject({
    grpc: z.int().min(0).max(16).meta({
      title: "a gRPC status from 0 to 16",
      description:
        "The header grpc-status: 16 means denied by authentication, 7 denied by authorization, anything else the workload's own answer.",
    }),
    ...demands,
  })
  .describe("An answer of gRPC, and why.");

/** What a cell of a matrix, or `expect` of a check, may be. */
export const expectation = z.union([status, ...withoutStatus, allowed, demand, grpcDemand]);
