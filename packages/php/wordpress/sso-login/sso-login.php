<?php
/**
 * Plugin Name: SSO Login
 * Description: Sign-in with the city's single sign-on (OpenID Connect).
 * Version: 1.0.0
 * Requires at least: 5.9
 * Requires PHP: 5.6
 * License: Apache-2.0
 */

if (!defined('ABSPATH')) {
    exit;
}

require_once __DIR__ . '/SsoClient.php';
require_once __DIR__ . '/class-sso-login-texts.php';
require_once __DIR__ . '/class-sso-login-settings.php';
require_once __DIR__ . '/class-sso-login-session.php';
require_once __DIR__ . '/class-sso-login-users.php';
require_once __DIR__ . '/class-sso-login.php';

(new Sso_Login())->register();
