/** Which programs this machine has. */

import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** What unpacks Debian packages. */
export const PACKAGE_TOOLS: readonly string[] = ["apt-get", "dpkg-deb"];

export async function hasPackageTools(): Promise<boolean> {
  return (await missingPrograms(PACKAGE_TOOLS)).length === 0;
}

/** Those that are not in PATH. */
export async function missingPrograms(names: readonly string[]): Promise<string[]> {
  const dirs = (process.env["PATH"] ?? "").split(delimiter);
  const missing = [];
  for (const name of names) {
    const found = await Promise.any(dirs.map((dir) => access(join(dir, name), constants.X_OK))).then(
      () => true,
      () => false,
    );
    if (!found) missing.push(name);
  }
  return missing;
}
