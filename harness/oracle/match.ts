/** Envoy's RBAC matchers that istiod generates. An unknown fact gives `undecided`, never a guess. */

import { allOf, anyOf, not } from "./combine.ts";
import {
  compare,
  leaf,
  matchAddress,
  matchHeader,
  matchMetadata,
  matchPeer,
  matchRemoteAddress,
  matchTemplate,
  unsupported,
  withoutQuery,
} from "./fields.ts";
import { at, list, record, text } from "./tree.ts";
import type { Facts, Match } from "./types.ts";

/** A rule matches if a permission and a principal do (envoy.config.rbac.v3.Policy). */
export function matchPolicy(policy: unknown, facts: Facts): Match {
  if (at(policy, "condition") ?? at(policy, "checked_condition")) return unsupported("cel-condition");
  return allOf([
    anyOf(list(at(policy, "permissions")).map((node) => matchNode(node, facts))),
    anyOf(list(at(policy, "principals")).map((node) => matchNode(node, facts))),
  ]);
}

function matchNode(node: unknown, facts: Facts): Match {
  const [kind = "", ...more] = Object.keys(record(node));
  if (more.length > 0) return unsupported("matcher", [kind, ...more].join(" and "));
  const value = at(node, kind);
  const inner = (name: string): Match[] => list(at(value, name)).map((child) => matchNode(child, facts));
  switch (kind) {
    case "any":
      return { matched: value === true, conditions: [] };
    case "and_rules":
      return allOf(inner("rules"));
    case "and_ids":
      return allOf(inner("ids"));
    case "or_rules":
      return anyOf(inner("rules"));
    case "or_ids":
      return anyOf(inner("ids"));
    case "not_rule":
    case "not_id":
      return not(matchNode(value, facts));
    case "url_path":
      return compare({ kind: "path" }, at(value, "path"), withoutQuery(facts.path));
    case "uri_template":
      return matchTemplate(value, withoutQuery(facts.path));
    case "header":
      return matchHeader(record(value), facts);
    case "destination_port":
      return leaf(
        { kind: "port" },
        { kind: "exact", value: String(value) },
        facts.port?.toString(),
        (port) => port === String(value),
      );
    case "destination_ip":
      return matchAddress("destination-ip", value, facts.destinationIp);
    case "direct_remote_ip":
    case "source_ip":
      return matchAddress("source-ip", value, facts.sourceIp);
    case "remote_ip":
      return matchRemoteAddress(value, facts);
    case "requested_server_name":
      // Without TLS there is no SNI, which Envoy compares as empty text.
      return compare(
        { kind: "sni" },
        value,
        facts.serverName ?? (facts.peer === undefined && !facts.tunnel ? "" : undefined),
      );
    case "authenticated":
      return matchPeer(at(value, "principal_name"), facts);
    case "filter_state":
      if (at(value, "key") !== "io.istio.peer_principal") return unsupported("filter-state", text(at(value, "key")));
      return matchPeer(at(value, "string_match"), facts);
    case "metadata":
      return matchMetadata(value, facts);
    default:
      return unsupported("matcher", kind);
  }
}
