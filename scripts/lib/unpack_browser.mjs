// Unpacks the files of @sparticuz/chromium into the folder that it is called in.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const [packed] = process.argv.slice(2);
for (const [name, mode] of [["chromium", 0o755], ["al2023.tar", 0o644], ["fonts.tar", 0o644], ["swiftshader.tar", 0o644]]) {
  await pipeline(createReadStream(`${packed}/${name}.br`), createBrotliDecompress(), createWriteStream(name, { mode }));
}
