import type { Answer } from "../result.ts";
import type { Decision, Explanation, ProviderFact, RuleFact } from "./types.ts";

/** Leads an explanation that does not agree with the mesh: another version of Envoy may read the same config otherwise. */
export const OTHERWISE = "The mesh answered otherwise than meshproof reads this config: ";

/** Whether a decision is not the one that an answer shows. A workload's own status says nothing about either. */
export function contradicts({ verdict, status }: Decision, got: Pick<Answer, "by" | "status">): boolean {
  if (verdict === "admitted") return got.by === "authentication" || got.by === "authorization";
  return verdict === "denied" && status !== got.status;
}

/** The explanation for a person: the decision first, then each provider and each rule in the order in which Envoy asks them. */
export function formatExplanation({ decision, listener, path, providers, rules }: Explanation): string {
  const verdict = {
    admitted: "The request goes through to the workload",
    denied: `The request is denied by ${decision.by} with ${decision.status}`,
    refused: decision.status === 0 ? "The request gets no answer" : `The proxy itself answers ${decision.status}`,
    undecided: "It cannot be told what happens to the request",
  }[decision.verdict];
  return [
    `${verdict}: ${decision.why}.`,
    ...(decision.details === undefined ? [] : [`  Envoy says ${decision.details}`]),
    "",
    `judged at  ${listener}`,
    `path       ${path}`,
    ...section("Tokens", providers.flatMap(describeProvider), "no RequestAuthentication is in force here"),
    ...section("Policies, in order", rules.flatMap(describeRule), "no AuthorizationPolicy is in force here"),
  ].join("\n");
}

function section(title: string, lines: readonly string[], none: string): string[] {
  return ["", title, ...(lines.length === 0 ? [`  ${none}`] : lines)];
}

function describeProvider(provider: ProviderFact): string[] {
  const keys = {
    inline:
      provider.keyList
        .map(({ kid, kty, alg }) => [`kid ${kid ?? "-"}`, kty, alg].filter(Boolean).join(" "))
        .join(", ") || "none",
    remote: `fetched by the proxy from ${provider.uri}`,
    placeholder: "istiod's placeholder: it could not fetch the jwksUri, and no token fits",
  }[provider.keys];
  return [
    `  ${provider.accepted === true ? "✓" : provider.accepted === false ? "✗" : "·"} issuer ${provider.issuer}: ${provider.found}`,
    `      looks in  ${provider.places.join(", ")}`,
    ...(provider.audiences.length === 0 ? [] : [`      audiences ${provider.audiences.join(", ")}`]),
    `      keys      ${keys}`,
  ];
}

function describeRule({ name, action, dryRun, matched, fields }: RuleFact): string[] {
  const sign = matched === true ? "✓ matches" : matched === false ? "✗ does not match" : "· undecided";
  return [
    `  ${sign}  ${action}${dryRun ? " (dry run)" : ""} ${name}`,
    ...fields.map(
      ({ field, wanted, got, agrees }) => `      ${agrees ? "✓" : "✗"} ${field} is ${got}, wanted is ${wanted}`,
    ),
  ];
}
