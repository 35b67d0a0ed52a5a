import { checkHost, installMissing } from "../../clusters/embedded/components/index.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";

export async function doctor(options: { readonly install?: boolean }): Promise<number> {
  return work(async ({ progress, signal, clear }) => {
    if (options.install === true) await installMissing({ progress, signal });
    const findings = await checkHost();
    clear();
    const missing = findings.filter(({ ok }) => !ok);
    console.log(
      table(findings.map(({ name, ok, found, needed }) => [ok ? "✔" : "✘", name, found, `needed: ${needed}`])),
    );
    for (const { name, fix } of missing) console.log(`\n${name}:\n  ${fix ?? "no remedy is known"}`);
    console.log(missing.length === 0 ? "\nthis machine can run the embedded cluster" : `\n${missing.length} missing`);
    return missing.length === 0 ? 0 : 3;
  });
}
