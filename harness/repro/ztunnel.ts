/** What ztunnel makes of a policy, where that is certain (istio pilot/pkg/serviceregistry/ambient/authorization.go). Pure. */

import type { TicketObject } from "./ticket.ts";

interface Rule {
  readonly from?: readonly { readonly source?: Readonly<Record<string, unknown>> }[];
  readonly to?: readonly { readonly operation?: Readonly<Record<string, unknown>> }[];
  readonly when?: readonly { readonly key?: string }[];
}

function rulesOf({ spec }: TicketObject): Rule[] {
  return ((spec?.["rules"] ?? []) as (Rule | null)[]).map((rule) => rule ?? {});
}

/** Whether ztunnel does not enforce an AuthorizationPolicy at all: it knows two actions, and no dry run. */
export function isInert({ spec, metadata }: TicketObject): boolean {
  if (metadata.annotations?.["istio.io/dry-run"] === "true") return true;
  const action = spec?.["action"] ?? "ALLOW";
  if (action !== "ALLOW" && action !== "DENY") return true;
  // A DENY policy without a rule matches nothing; an ALLOW policy without one denies everything.
  return action === "DENY" && ((spec?.["rules"] ?? []) as unknown[]).length === 0;
}

/** Whether a rule of an ALLOW policy names this identity and asks for nothing else. */
export function allowsOnly(policy: TicketObject, principal: string): boolean {
  const [, namespace] = /\/ns\/([^/]+)\//.exec(principal) ?? [];
  return rulesOf(policy).some(({ from = [], to = [], when = [] }) => {
    if (to.length > 0 || when.length > 0) return false;
    return from.some(({ source = {} }) => {
      const [field, ...more] = Object.keys(source);
      const values = (field === undefined ? [] : source[field]) as readonly unknown[];
      if (more.length > 0) return false;
      return (
        (field === "principals" && values.includes(principal)) || (field === "namespaces" && values.includes(namespace))
      );
    });
  });
}

/** Whether a PeerAuthentication demands mTLS, of the pods or of a port. */
export function hasStrict({ spec }: TicketObject): boolean {
  return JSON.stringify(spec ?? {}).includes('"STRICT"');
}

/** The fields of a policy that need HTTP, as istiod lists them in its status (`ZtunnelAccepted`). */
export function httpFieldsOf(policy: TicketObject): string[] {
  const found = rulesOf(policy).flatMap(({ from = [], to = [], when = [] }) => [
    ...from.flatMap(({ source = {} }) =>
      Object.keys(source).filter((field) => /^(not)?(requestPrincipals|remoteIpBlocks)$/i.test(field)),
    ),
    ...to.flatMap(({ operation = {} }) =>
      Object.keys(operation).filter((field) => /^(not)?(hosts|methods|paths)$/i.test(field)),
    ),
    ...when.flatMap(({ key = "" }) =>
      /^(source\.(ip|namespace|principal)|destination\.(ip|port))$/.test(key) ? [] : [key],
    ),
  ]);
  return [...new Set(found)];
}
