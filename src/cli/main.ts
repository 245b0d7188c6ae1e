#!/usr/bin/env node
/** The command line: one file per verb. Most are HTTP clients of a running gateway; what needs none says so. */
import { Command } from 'commander';
import { readGatewayConfig } from '../schema/config.js';
import { toLlamaestroError } from '../base/errors.js';
import { defaultUrl } from './client.js';
import { addSchema } from './schema.js';
import { addStatus } from './status.js';
import { addSwitch } from './switch.js';

try {
  const program = new Command('llamaestro')
    .description('Runs a whole set of local language models as one orchestra')
    .option('--url <url>', 'where the gateway listens', defaultUrl(readGatewayConfig()))
    .showHelpAfterError();
  addStatus(program);
  addSwitch(program);
  addSchema(program);
  await program.parseAsync();
} catch (thrown) {
  const error = toLlamaestroError(thrown);
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = error.code === 'no_host' ? 2 : 1;
}
