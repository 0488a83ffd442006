<?php
defined('BASEPATH') OR exit('No direct script access allowed');

// Options of SsoClient. The README lists them all.
$config['client'] = array(
    'issuer' => getenv('OIDC_ISSUER'),
    'client_id' => getenv('OIDC_CLIENT_ID'),
    'client_secret' => getenv('OIDC_CLIENT_SECRET'),
    'redirect_uri' => getenv('OIDC_REDIRECT_URI'),
    'post_logout_redirect_uri' => (string) getenv('OIDC_POST_LOGOUT_REDIRECT_URI'),
    'scope' => getenv('OIDC_SCOPE') ? getenv('OIDC_SCOPE') : 'openid profile email',
    'data_dir' => getenv('OIDC_DATA_DIR'), // a directory outside of the web root, such as /var/lib/antrean/sso
);

// Which controllers need a sign-in, for the hook: the name in small letters, with its folder => true, or a role.
// The key * stands for every other controller; false lets everybody in.
$config['protected'] = array(
    // '*' => true,
    // 'beranda' => false,
    // 'admin/loket' => 'operator',
);
