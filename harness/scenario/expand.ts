/** Expands the checks of a step into single requests: a matrix becomes one check per cell. */

import type { Node } from "yaml";
import { TOKEN_VARIANTS, type TokenVariant } from "../model/token.ts";
import { compileRegex } from "../oracle/regex.ts";
import { didYouMean, oneOf, type Problem } from "./problem.ts";
import { entriesOf, itemsOf, kindOf, type Source, startOf, textOf, valueOf } from "./source.ts";
import {
  isRefusal,
  type Answerer,
  type CheckSpec,
  type Expectation,
  type MatrixSpec,
  type Protocol,
  type RequestSpec,
} from "../model/scenario.ts";
import { NO_ANSWERS } from "../model/expectation.ts";
import { nameWay } from "../model/target.ts";

/** The checks of one step, in the order of the file. */
export interface ExpandedChecks {
  readonly checks: readonly CheckSpec[];
  readonly matrices: readonly MatrixSpec[];
  readonly problems: readonly Problem[];
}

/**
 * @param node the value of `checks`, already validated
 * @param tokenNames the names of the scenario's tokens, without `none`
 * @param requests the scenario's requests by name
 */
export function expandChecks(
  node: Node | undefined,
  source: Source,
  tokenNames: readonly string[],
  requests: ReadonlyMap<string, Node> = new Map(),
): ExpandedChecks {
  const checks: CheckSpec[] = [];
  const matrices: MatrixSpec[] = [];
  const problems: Problem[] = [];
  const report = (at: Node, message: string, hint?: string): void =>
    void problems.push({ position: source.positionAt(startOf(at)), message, ...(hint !== undefined && { hint }) });
  const checkToken = (at: Node, allowNone = true): void => {
    const known = allowNone ? ["none", ...tokenNames] : tokenNames;
    const names = textOf(at).split("+");
    // `a+b` sends both.
    for (const name of names)
      if (!(names.length > 1 ? tokenNames : known).includes(name))
        report(at, `unknown token "${name}"`, didYouMean(name, known, `tokens are ${known.join(", ")}`));
  };

  const add = (at: Node, check: Omit<CheckSpec, "position">): void => {
    if (checks.some(({ name }) => name === check.name))
      report(
        at,
        `the check name "${check.name}" is used twice in this step`,
        check.cell ? "give the matrix a title" : "give the check a name",
      );
    const { status: _status, by, noAnswer, ...demands } = check.expect;
    const { body, jsonKey } = demands;
    if (by === "nobody" && Object.keys(demands).length > 0)
      report(at, `with ${noAnswer} there is no answer to compare`, `leave out what is beside status: ${noAnswer}`);
    const { tls, requestTarget, protocol } = check.request;
    if (requestTarget !== undefined && protocol === "h2c")
      report(at, "HTTP/2 has no request target", "leave out requestTarget, or protocol");
    if (noAnswer === "tls-refused" && tls === undefined)
      report(at, "tls-refused needs a request that speaks TLS", "add tls: true to the request");
    if (textOf(statusOf(at)) === "allowed" && by !== "workload")
      report(at, "allowed means that the workload answers", "leave out by");
    reportTexts(valueOf(expectOf(at), "body"), valueOf(expectOf(at), "headers"));
    if (check.request.method === "HEAD" && (by === "authorization" || body !== undefined || jsonKey !== undefined))
      report(at, "the reply to a HEAD request has no body to judge by", "use GET");
    checks.push({ ...check, position: source.positionAt(startOf(at)) });
  };

  /** Regular expressions that are none, and substitutions that are not made here. */
  const reportTexts = (body: Node | undefined, headers: Node | undefined): void => {
    const values = entriesOf(headers).map(({ value }) => value);
    for (const written of [body, ...values].flatMap((value) => valueOf(value, "matches") ?? [])) {
      const compiled = compileRegex(textOf(written));
      if ("unknown" in compiled && compiled.unknown.kind === "regex")
        report(written, `matches must be a regular expression of RE2: ${compiled.unknown.error}`);
    }
    for (const value of values) {
      const [unknown] = /\$\{(?!ns\})[^}]*\}?/.exec(textOf(value)) ?? [];
      if (unknown !== undefined)
        report(value, `unknown substitution "${unknown}" in a header of the reply`, "only ${ns} is filled in here");
    }
  };

  const expandMatrix = (matrix: Node): void => {
    const varied = valueOf(matrix, "vary") !== undefined;
    const path = valueOf(matrix, "path");
    if (varied && path === undefined) report(matrix, "a matrix that varies tokens needs a path");
    if (!varied && path !== undefined)
      report(path, "the rows of this matrix are paths", "leave path out, or add vary: tokens");
    const columns = itemsOf(valueOf(matrix, "columns"));
    const rows = entriesOf(valueOf(matrix, "rows"));
    for (const column of columns)
      if (!varied) checkToken(column);
      else if (!(TOKEN_VARIANTS as readonly string[]).includes(textOf(column)))
        report(
          column,
          `unknown variant "${textOf(column)}"`,
          didYouMean(textOf(column), TOKEN_VARIANTS, `variants are ${oneOf(TOKEN_VARIANTS)}`),
        );
    const title = valueOf(matrix, "title");
    for (const [rowIndex, row] of rows.entries()) {
      if (varied) checkToken(row.keyNode, false);
      else if (!ROW.test(row.key) && !requests.has(row.key))
        report(
          row.keyNode,
          `row "${row.key}" must be a path that begins with "/" and has no blanks, a method and a path, or a request`,
          didYouMean(row.key, requests.keys()),
        );
      const cells = itemsOf(row.value);
      if (cells.length !== columns.length)
        report(row.value, `row "${row.key}" has ${count(cells.length, "cell")} for ${count(columns.length, "column")}`);
      for (const [columnIndex, cell] of cells.entries()) {
        const column = columns[columnIndex];
        if (column === undefined) break;
        add(cell, {
          name: `${title === undefined ? "" : `${textOf(title)}: `}${row.key} ${textOf(column)}`,
          request: varied ? readRequest(matrix, textOf(path)) : readRow(matrix, row.key, requests.get(row.key)),
          token: varied ? row.key : textOf(column),
          ...(varied && textOf(column) !== "intact" && { variant: textOf(column) as TokenVariant }),
          expect: readExpectation(cell),
          cell: { matrix: matrices.length, row: rowIndex, column: columnIndex },
        });
      }
    }
    matrices.push({
      title: title === undefined ? titleOf(readRequest(matrix, textOf(path))) : textOf(title),
      rows: rows.map(({ key }) => key),
      columns: columns.map(textOf),
    });
  };

  const expandCheck = (check: Node): void => {
    const tokenNode = valueOf(check, "token");
    const token = tokenNode === undefined ? "none" : textOf(tokenNode);
    const variant = valueOf(check, "variant");
    if (tokenNode !== undefined) checkToken(tokenNode);
    if (variant !== undefined && token === "none") report(variant, "a variant needs a token");
    const request = readRequest(check, textOf(valueOf(check, "path")));
    const name = valueOf(check, "name");
    const ownVariant =
      variant === undefined || textOf(variant) === "intact" ? undefined : (textOf(variant) as TokenVariant);
    add(check, {
      name: name === undefined ? [request.path, token, ...(ownVariant ? [ownVariant] : [])].join(" ") : textOf(name),
      request,
      token,
      ...(ownVariant && { variant: ownVariant }),
      expect: readExpectation(valueOf(check, "expect")!),
    });
  };

  const parts = kindOf(node) === "list" ? itemsOf(node) : node === undefined ? [] : [node];
  for (const part of parts) {
    const protocol = valueOf(part, "protocol");
    if (valueOf(part, "tls") !== undefined && textOf(protocol) === "h2c")
      report(protocol!, "h2c is HTTP/2 without TLS", "leave out tls or protocol");
    if (valueOf(part, "rows") !== undefined) expandMatrix(part);
    else expandCheck(part);
  }
  return { checks, matrices, problems: [...problems, ...findUnwitnessedDenials(checks)] };
}

/** A denial proves something only beside an admitted request to the same workload: otherwise the workload may not answer at all. */
function findUnwitnessedDenials(checks: readonly CheckSpec[]): Problem[] {
  const admitted = new Set(
    checks.filter(({ expect }) => expect.by === "workload").map(({ request }) => nameWay(request)),
  );
  const problems = new Map<string, Problem>();
  for (const { expect, request, position } of checks) {
    const way = nameWay(request);
    if (isRefusal(expect.by) && !admitted.has(way) && !problems.has(way))
      problems.set(way, {
        position,
        message: `a denial at ${way} has no witness`,
        hint: `add a check to this step that ${way} answers`,
      });
  }
  return [...problems.values()];
}

/** A row of a matrix of requests: a path, or a method and a path. */
const ROW = /^(?:([A-Z]+) )?(\/(?!.*\\x0[0aAdD])\S*)$/;

/** The row's fields override the matrix's; headers of both are sent. */
function readRow(matrix: Node, key: string, named: Node | undefined): RequestSpec {
  if (named === undefined) {
    const [, method, path = key] = ROW.exec(key) ?? [];
    const request = readRequest(matrix, path);
    return method === undefined ? request : { ...request, method };
  }
  const own = readRequest(named, textOf(valueOf(named, "path")));
  const base = readRequest(matrix, own.path);
  return {
    ...base,
    ...(valueOf(named, "method") !== undefined && { method: own.method }),
    ...(own.requestTarget !== undefined && { requestTarget: own.requestTarget }),
    ...(own.protocol !== undefined && { protocol: own.protocol }),
    ...(own.host !== undefined && { host: own.host }),
    ...(own.tls !== undefined && { tls: own.tls }),
    headers: [...base.headers, ...own.headers],
  };
}

function readRequest(node: Node, path: string): RequestSpec {
  const protocol = valueOf(node, "protocol");
  const through = valueOf(node, "through");
  const target = valueOf(node, "requestTarget");
  const host = valueOf(node, "host");
  const tls = valueOf(node, "tls");
  const serverName = valueOf(tls, "serverName");
  return {
    from: textOf(valueOf(node, "from")),
    to: textOf(valueOf(node, "to")),
    ...(through !== undefined && { through: textOf(through) }),
    method: textOf(valueOf(node, "method")) || "GET",
    path,
    ...(target !== undefined && { requestTarget: textOf(target) }),
    headers: entriesOf(valueOf(node, "headers")).flatMap(({ key, value }) =>
      kindOf(value) === "list"
        ? itemsOf(value).map((item) => [key, textOf(item)] as const)
        : [[key, textOf(value)] as const],
    ),
    ...(protocol !== undefined && { protocol: textOf(protocol) as Protocol }),
    ...(host !== undefined && { host: textOf(host) }),
    ...(tls !== undefined && { tls: serverName === undefined ? {} : { serverName: textOf(serverName) } }),
  };
}

function readExpectation(node: Node): Expectation {
  const spec = kindOf(node) === "mapping" ? (node.toJSON() as Partial<Expectation>) : {};
  if (spec.grpc !== undefined) return { ...spec, status: 200, by: spec.by ?? answererOfGrpc(spec.grpc) };
  const written = textOf(statusOf(node));
  const noAnswer = NO_ANSWERS.find((one) => one === written);
  if (noAnswer !== undefined) return { ...spec, status: 0, by: "nobody", noAnswer };
  if (written === "allowed") return { ...spec, status: 0, by: spec.by ?? "workload" };
  return { ...spec, status: Number(written), by: spec.by ?? answererOf(Number(written)) };
}

/** The expectation of a cell, or of a single check. */
function expectOf(node: Node): Node {
  return valueOf(node, "expect") ?? node;
}

function statusOf(node: Node): Node | undefined {
  const written = expectOf(node);
  return kindOf(written) === "mapping" ? valueOf(written, "status") : written;
}

/** Envoy answers UNAUTHENTICATED in the place of 401 and PERMISSION_DENIED in that of 403 (source/common/grpc/status.cc). */
function answererOfGrpc(grpc: number): Answerer {
  return grpc === 16 ? "authentication" : grpc === 7 ? "authorization" : "workload";
}

/** Istio answers 401 for a RequestAuthentication and 403 for an AuthorizationPolicy. */
function answererOf(status: number): Answerer {
  return status === 401 ? "authentication" : status === 403 ? "authorization" : "workload";
}

function titleOf({ from, to, through, method, path }: RequestSpec): string {
  const request = [...(method === "GET" ? [] : [method]), ...(path === "" ? [] : [path])];
  return [...request, "from", from, "to", nameWay({ to, through })].join(" ");
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
