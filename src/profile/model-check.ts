/** What is wrong with one model of a profile: settings that contradict each other or have no effect. Pure; knows no other model. */
import type { ModelFields, ProfileFile } from '../schema/profile-file.js';
import type { Role } from '../schema/profile.js';
import { durationMs } from '../schema/units.js';
import type { Problem } from './problem.js';
import { DEFAULT_SLOTS, MAX_DURATION_MS, MIN_CONTEXT_PER_SLOT } from './profile-defaults.js';

/** The purpose a model has: as written, or what its role is for. */
export function purposeOf(fields: ModelFields): 'generate' | 'embed' | 'rerank' {
  return fields.purpose ?? purposeOfRole(fields.role ?? 'general');
}

function purposeOfRole(role: Role): 'generate' | 'embed' | 'rerank' {
  if (role === 'embedder') return 'embed';
  return role === 'reranker' ? 'rerank' : 'generate';
}

/** Where the file is expected: as written, or by its source. */
export function fileOf({ file, source }: ModelFields): string | undefined {
  if (file !== undefined) return file;
  return source?.repo === undefined || source.file === undefined ? undefined : `${source.repo}/${source.file}`;
}

/** Every file a model is made of, as written: its own first, then those of its adapters. */
export function filesOf(fields: ModelFields): readonly string[] {
  const own = fileOf(fields);
  const adapters = (fields.lora ?? []).map(({ file }) => file);
  return own === undefined ? adapters : [own, ...adapters];
}

/** `fields` over the profile's defaults; sampling, force and chat are merged key by key. */
export function withDefaults(file: ProfileFile, fields: ModelFields): ModelFields {
  const { defaults } = file;
  if (defaults === undefined) return fields;
  const merged = (key: 'sampling' | 'force' | 'chat'): ModelFields =>
    defaults[key] === undefined ? {} : { [key]: { ...defaults[key], ...fields[key] } };
  return { ...defaults, ...fields, ...merged('sampling'), ...merged('force'), ...merged('chat') };
}

/** Says at the setting itself where the model writes it, else at the model. */
type Add = (key: keyof ModelFields, message: string, remedy: string) => unknown;

/** Problems of the model at `path`; `own` is what it says itself. */
export function modelProblems(file: ProfileFile, path: string, own: ModelFields): readonly Problem[] {
  const problems: Problem[] = [];
  const add: Add = (key, message, remedy) =>
    problems.push({ path: own[key] === undefined ? path : `${path}.${key}`, message, remedy });
  const fields = withDefaults(file, own);
  if (fileOf(fields) === undefined) {
    const remedy = "Write 'file: PATH', or a source with repo and file.";
    add('file', "the model needs 'file', the path of a GGUF file", remedy);
  }
  checkContext(fields, add);
  checkPlaces(fields, add);
  checkPurpose(fields, own, add);
  checkParameters(fields, add);
  checkAdapters(fields, add);
  if (fields.ttl !== undefined && durationMs(fields.ttl) > MAX_DURATION_MS) {
    add('ttl', `${fields.ttl} is longer than a week`, 'Write at most 168h, or make the model resident.');
  }
  return problems;
}

function checkContext({ context, slots = DEFAULT_SLOTS, ...fields }: ModelFields, add: Add): void {
  if (context !== undefined && context < slots * MIN_CONTEXT_PER_SLOT) {
    const each = Math.floor(context / slots);
    const message = `${context} tokens over ${slots} slots leave ${each} each; ${MIN_CONTEXT_PER_SLOT} is the least`;
    add('context', message, `Write at least ${slots * MIN_CONTEXT_PER_SLOT}, or fewer slots.`);
  }
  const { context_per_slot: perSlot, kv_layout: layout } = fields;
  if (perSlot !== undefined && context !== undefined && perSlot > context) {
    const message = `one sequence cannot have ${perSlot} tokens, all slots together have ${context}`;
    add('context_per_slot', message, `Write at most ${context}, or a larger context.`);
  }
  if (perSlot !== undefined && layout !== 'unified' && perSlot !== Math.floor((context ?? 0) / slots)) {
    const message = 'sequences of another length than context / slots need kv_layout unified';
    add('context_per_slot', message, "Write 'kv_layout: unified' too, or leave context_per_slot out.");
  }
  const quantised = kvTypes(fields).find((type) => type?.startsWith('q') === true);
  if (fields.flash_attention === 'off' && quantised !== undefined) {
    const message = `kv_type ${quantised} needs flash attention, which is off`;
    add('kv_type', message, "Write 'flash_attention: auto', or a kv_type of f16.");
  }
}

function kvTypes({ kv_type: type }: ModelFields): readonly (string | undefined)[] {
  return typeof type === 'object' ? [type.k, type.v] : [type];
}

function checkPlaces(fields: ModelFields, add: Add): void {
  const { devices, split_mode: mode, main_device: main, tensor_split: shares, gpu_layers: layers } = fields;
  if (main !== undefined && mode !== 'none') {
    add('main_device', 'main_device alone has no effect', "Write 'split_mode: none' too.");
  }
  if (devices !== undefined && new Set(devices).size !== devices.length) {
    add('devices', 'a device is named twice', 'Name each device once.');
  }
  if (devices?.includes('cpu') === true) {
    add('devices', "the CPU is always used; 'devices' lists others", "Leave 'cpu' out; [] keeps to the CPU.");
  }
  if (main !== undefined && devices !== undefined && !devices.includes(main)) {
    add('main_device', `'${main}' is not among the devices`, `Use one of: ${devices.join(', ')}.`);
  }
  if (shares !== undefined && shares.every((share) => share === 0)) {
    add('tensor_split', 'no device gets a share', 'Give at least one device more than 0.');
  }
  if (shares !== undefined && devices !== undefined && shares.length !== devices.length) {
    add('tensor_split', `${shares.length} shares for ${devices.length} devices`, 'Give one share for each device.');
  }
  const isOnCpu = layers === 0 || devices?.length === 0;
  for (const key of ['main_device', 'tensor_split', 'split_mode', 'cpu_moe_layers'] as const) {
    if (!isOnCpu || fields[key] === undefined) continue;
    add(key, `${key} has no effect on a model that is on the CPU`, `Leave ${key} out, or give the model GPU layers.`);
  }
}

/** Fields that say how text is made. */
const OF_TEXT = ['sampling', 'force', 'strip', 'chat', 'lora'] as const;

function checkPurpose(fields: ModelFields, own: ModelFields, add: Add): void {
  const purpose = purposeOf(fields);
  const { role } = fields;
  if (role !== undefined && purpose !== purposeOfRole(role)) {
    const message = `the role ${role} needs purpose ${purposeOfRole(role)}, not ${purpose}`;
    add('purpose', message, 'Leave the purpose out, or choose another role.');
  }
  if (purpose === 'generate') return;
  for (const key of OF_TEXT) {
    if (own[key] === undefined) continue;
    add(key, `${key} has no effect on a model of purpose ${purpose}`, `Leave ${key} out.`);
  }
}

function checkAdapters({ lora = [] }: ModelFields, add: Add): void {
  const names = lora.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) add('lora', `two adapters are called '${twice}'`, 'Give each a name of its own.');
  const idle = lora.find(({ scale }) => scale === 0);
  if (idle === undefined) return;
  add('lora', `the adapter '${idle.name}' has no effect with a scale of 0`, 'Leave it out, or give it another scale.');
}

function checkParameters({ force = {}, strip = [] }: ModelFields, add: Add): void {
  const both = strip.find((name) => force[name] !== undefined);
  if (both === undefined) return;
  add('strip', `'${both}' is both forced and stripped`, 'A forced parameter needs no stripping: leave it out here.');
}
