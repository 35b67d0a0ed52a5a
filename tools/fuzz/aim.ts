/** Changes a generated request so that it fits one of the rules as well as may be. Rough: only the mesh and the oracle judge. */

import type { Aimed, Policies, Request, Rule } from "./arbitraries.ts";
import { HEADERS, HOSTS, METHODS, PATHS, TOKENS } from "./values.ts";

/** The request without its aim; with one in three it is left as it was. */
export function aim({ aim: number, ...request }: Aimed, { authorizations, authentications }: Policies): Request {
  const draw = drawing(number);
  const rules = authorizations.flatMap(({ rules: own }) => own);
  if (rules.length === 0 || draw(3) === 0) return request;
  const jwt = authentications.length > 0;
  return fit(request, rules[draw(rules.length)]!, draw, jwt);
}

type Draw = (below: number) => number;

function fit(request: Request, rule: Rule, draw: Draw, jwt: boolean): Request {
  const wanted = [
    ...(rule.from.length > 0 ? rule.from[draw(rule.from.length)]! : []),
    ...(rule.to.length > 0 ? rule.to[draw(rule.to.length)]! : []),
    ...rule.when.flatMap(({ key, values, notValues }) => [
      ...(values ? [{ field: key, values }] : []),
      ...(notValues ? [{ field: `not ${key}`, values: notValues }] : []),
    ]),
  ];
  let fitted = request;
  for (const { field, values } of wanted) {
    const not = /^not[ A-Z]/.test(field);
    const name = field.replace(/^not /, "").replace(/^not([A-Z])/, (_, first: string) => first.toLowerCase());
    const fits = (value: string): boolean => values.some((pattern) => roughly(pattern, value)) !== not;
    const choose = <T>(all: readonly T[], text: (one: T) => string): T | undefined => {
      const fitting = all.filter((one) => fits(text(one)));
      return fitting[draw(fitting.length)];
    };
    const set = <K extends keyof Request>(key: K, value: Request[K] | undefined): void => {
      if (value !== undefined) fitted = { ...fitted, [key]: value };
    };
    const header = /^request\.headers\[(.*)\]$/.exec(name)?.[1]?.toLowerCase();
    if (name === "methods") set("method", choose(METHODS, String));
    else if (name === "paths")
      set(
        "path",
        choose(PATHS, (path) => path.replace(/[?#].*/, "")),
      );
    else if (name === "hosts") set("host", choose(HOSTS, String));
    else if (
      /principals$|Namespaces$|namespaces|serviceAccounts|^source\.(namespace|principal|service)/.test(name) &&
      !/request/.test(name)
    )
      set(
        "from",
        choose(["sleep", "neighbour"] as const, (from) => identityOf(from, values[0]!)),
      );
    else if (/^(request(Principals|\.auth))/.test(name) && jwt && draw(4) > 0) {
      const tokens = Object.keys(TOKENS).slice(0, 13);
      set("tokens", [{ token: tokens[draw(tokens.length)]!, place: "bearer" }]);
    } else if (header !== undefined) {
      const own = HEADERS.filter(([one]) => one.toLowerCase() === header);
      const found = choose(own, ([, value]) => value);
      if (found !== undefined) set("headers", [...fitted.headers.slice(0, 2), found]);
    } else if (/^remote/.test(name)) {
      const found = HEADERS.filter(([one]) => one === "X-Forwarded-For");
      if (draw(2) === 0) set("headers", [...fitted.headers.slice(0, 2), found[draw(found.length)]!]);
    }
  }
  return fitted;
}

function identityOf(from: "sleep" | "neighbour", pattern: string): string {
  const namespace = from === "sleep" ? "foo" : "meshproof-outside";
  if (/\/ns\/|sa\//.test(pattern) || /sleep$/.test(pattern)) return `cluster.local/ns/${namespace}/sa/${from}`;
  return pattern.includes("/") ? `${namespace}/${from}` : namespace;
}

function roughly(pattern: string, value: string): boolean {
  if (pattern.includes("{")) {
    const source = pattern.replaceAll("{**}", ".*").replaceAll("{*}", "[^/]+");
    return new RegExp(`^${source}$`).test(value);
  }
  if (pattern === "*") return value !== "";
  if (pattern.endsWith("*")) return value.startsWith(pattern.slice(0, -1));
  if (pattern.startsWith("*")) return value.endsWith(pattern.slice(1));
  return pattern === value;
}

/** A linear congruential generator: the same draws for the same number. */
export function drawing(seed: number): Draw {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
