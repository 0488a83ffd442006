<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:' . getenv('DATABASE_SOCKET'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT', 'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $name) {
    define($name, "of this test: $name");
}
define('WP_HOME', getenv('ADDRESS'));
define('WP_SITEURL', getenv('ADDRESS'));
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_DEBUG', false);
define('SSO_LOGIN_CLIENT_SECRET', getenv('OIDC_CLIENT_SECRET'));
define('SSO_LOGIN_DATA_DIR', getenv('DATA') . '/sso');
$table_prefix = 'wp_';
require_once ABSPATH . 'wp-settings.php';
