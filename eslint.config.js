/**
 * What eslint checks: the recommended rules with types where they find bugs, and the few habits of this house that a
 * rule can see. The order of the rooms and the fences around third-party packages are checked by test/tidy.test.ts.
 */
import tseslint from 'typescript-eslint';

const ignored = ['dist/', 'build/', 'build-*/', 'coverage/', 'docs/api/', 'vendor/', 'models/', 'node_modules/'];

const habits = {
  'no-console': 'error',
  'no-restricted-syntax': [
    'error',
    { selector: 'TSEnumDeclaration', message: 'use a union of string literals' },
    { selector: 'ExportDefaultDeclaration', message: 'name what you export' },
  ],
  eqeqeq: 'error',
  'prefer-const': 'error',
  'object-shorthand': 'error',
};

const typed = {
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
  '@typescript-eslint/await-thenable': 'error',
  '@typescript-eslint/only-throw-error': 'error',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  '@typescript-eslint/consistent-type-imports': 'error',
  '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
};

export default tseslint.config(
  { ignores: ignored },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: { ...habits, ...typed },
  },
  {
    // Tests assert with chai's properties, which are expressions, and read answers whose shape is what they test.
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: { '@typescript-eslint/no-unused-expressions': 'off' },
  },
  {
    // A declaration says what somebody else's module is like.
    files: ['**/*.d.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['bench/**/*.ts', 'examples/**/*.ts', 'src/cli/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    extends: [tseslint.configs.recommended],
    rules: { eqeqeq: 'error', 'prefer-const': 'error', 'object-shorthand': 'error' },
  },
);
