# For tools that call node-gyp: hands the build over to cmake-js. `npm run setup` is the way with every check.
{
  'targets': [
    {
      'target_name': 'llamaestro',
      'type': 'none',
      'actions': [
        {
          'action_name': 'cmake_js',
          'inputs': ['<!@(node scripts/node-gyp-build.mjs --inputs)'],
          'outputs': ['<(PRODUCT_DIR)/llamaestro.node'],
          'action': ['node', '<(module_root_dir)/scripts/node-gyp-build.mjs', '<(PRODUCT_DIR)'],
        },
      ],
    },
  ],
}
