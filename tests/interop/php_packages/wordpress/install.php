<?php
// Install WordPress with an administrator, a user of before and the plug-in. Run with auto_prepend_file.
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = 'localhost';
require ABSPATH . 'wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_wp_mail', '__return_false');
wp_install('Uji', 'admin', 'admin@warga.example', true, '', 'kunci-cadangan-loket-17');
wp_insert_user(['user_login' => 'lama', 'user_pass' => 'sandi-lama-yang-panjang', 'user_email' => 'lama@warga.example', 'role' => 'author']);
update_option('active_plugins', ['sso-login/sso-login.php']);
update_option('sso_login', ['issuer' => getenv('OIDC_ISSUER'), 'client_id' => getenv('OIDC_CLIENT_ID'), 'scope' => 'openid profile roles',
    'automatic' => true, 'passwords' => true, 'create' => true, 'role' => 'subscriber', 'roles' => "operator = editor\nkepala = tidak_ada"]);
switch_theme('uji');
echo 'installed';
