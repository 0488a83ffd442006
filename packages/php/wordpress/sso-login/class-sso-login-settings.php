<?php

/** The settings, and their page. The client secret and the directory are constants of wp-config.php, not in the database. */
class Sso_Login_Settings
{
    const OPTION = 'sso_login';

    private static $defaults = array(
        'issuer' => '', 'client_id' => '', 'scope' => 'openid profile email', 'automatic' => false, 'passwords' => true,
        'email' => true, 'nip' => '', 'create' => false, 'role' => 'subscriber', 'roles' => '',
    );

    private static $labels = array(
        'issuer' => 'Issuer',
        'client_id' => 'Client ID',
        'scope' => 'Scope',
        'automatic' => 'Open the sign-in page of the city at once',
        'passwords' => 'Passwords for administrators only',
        'email' => 'Link users by verified e-mail address',
        'nip' => 'User meta field with the NIP (empty: not used)',
        'create' => 'Create an account for new users',
        'role' => 'Role of new users',
        'roles' => 'Roles, one in each line: role of the application = role of WordPress',
    );

    public static function get($name)
    {
        $kept = get_option(self::OPTION);
        return is_array($kept) && isset($kept[$name]) ? $kept[$name] : self::$defaults[$name];
    }

    /** Return what must be set before the sign-in can be used; empty: nothing. */
    public static function missing()
    {
        $missing = array();
        foreach (array('SSO_LOGIN_CLIENT_SECRET' => '…', 'SSO_LOGIN_DATA_DIR' => '/var/lib/wordpress-sso') as $name => $example) {
            if (!defined($name)) {
                $missing[] = Sso_Login_Texts::get('Add this line to wp-config.php:') . " define('$name', '$example');";
            }
        }
        foreach (array('issuer', 'client_id') as $name) {
            if (self::get($name) === '') {
                $missing[] = Sso_Login_Texts::get(self::$labels[$name]);
            }
        }
        return $missing;
    }

    /** The address that answers the sign-in, and notices of the provider. */
    public static function redirectUri()
    {
        return site_url('wp-login.php?action=sso', 'login');
    }

    /** Return role of the application => role of WordPress: a closed list. */
    public static function roles()
    {
        $roles = array();
        foreach (preg_split('/\R/', self::get('roles')) as $line) {
            $parts = array_map('trim', explode('=', $line, 2));
            if (count($parts) === 2 && $parts[0] !== '' && get_role($parts[1]) !== null) {
                $roles[$parts[0]] = $parts[1];
            }
        }
        return $roles;
    }

    public function register()
    {
        add_action('admin_menu', function () {
            add_options_page('SSO Login', 'SSO Login', 'manage_options', 'sso-login', array($this, 'page'));
        });
        add_action('admin_init', function () {
            register_setting('sso_login', self::OPTION, array('sanitize_callback' => array($this, 'sanitize')));
        });
    }

    public function sanitize($sent)
    {
        $sent = is_array($sent) ? $sent : array();
        $clean = array();
        foreach (self::$defaults as $name => $default) {
            $value = isset($sent[$name]) && is_scalar($sent[$name]) ? (string) $sent[$name] : '';
            $clean[$name] = is_bool($default) ? $value !== '' : ($name === 'roles' ? sanitize_textarea_field($value) : sanitize_text_field($value));
        }
        $clean['issuer'] = preg_match('#^https?://#', $clean['issuer']) ? $clean['issuer'] : '';
        $clean['role'] = get_role($clean['role']) !== null ? $clean['role'] : 'subscriber';
        return $clean;
    }

    public function page()
    {
        $missing = self::missing();
        echo '<div class="wrap"><h1>SSO Login</h1>';
        if ($missing) {
            echo '<div class="notice notice-error"><p>' . esc_html(Sso_Login_Texts::get('The sign-in cannot be used yet:')) . '</p><ul><li>'
                . implode('</li><li>', array_map('esc_html', $missing)) . '</li></ul></div>';
        }
        echo '<h2>' . esc_html(Sso_Login_Texts::get('Register these addresses in the developer portal')) . '</h2><table class="form-table">';
        $this->row('Redirect URI and back-channel logout URI', '<code>' . esc_html(self::redirectUri()) . '</code>');
        $this->row('Post-logout redirect URI', '<code>' . esc_html(home_url('/')) . '</code>');
        $this->row('Sign-in page for administrators, without the city account', '<code>' . esc_html(site_url('wp-login.php?local=1', 'login')) . '</code>');
        echo '</table><h2>' . esc_html(Sso_Login_Texts::get('Settings')) . '</h2><form method="post" action="options.php">';
        settings_fields('sso_login');
        echo '<table class="form-table">';
        foreach (self::$labels as $name => $label) {
            $this->row($label, $this->field($name), "sso-login-$name");
        }
        echo '</table>';
        submit_button();
        echo '</form></div>';
    }

    private function row($label, $html, $for = '')
    {
        $text = esc_html(Sso_Login_Texts::get($label));
        echo '<tr><th scope="row">' . ($for !== '' ? '<label for="' . esc_attr($for) . "\">$text</label>" : $text) . "</th><td>$html</td></tr>";
    }

    private function field($name)
    {
        $value = self::get($name);
        $common = 'id="sso-login-' . esc_attr($name) . '" name="' . self::OPTION . '[' . esc_attr($name) . ']"';
        if (is_bool(self::$defaults[$name])) {
            return "<input type=\"checkbox\" value=\"1\" $common" . checked((bool) $value, true, false) . '>';
        }
        if ($name === 'roles') {
            return "<textarea rows=\"5\" class=\"regular-text code\" $common>" . esc_textarea($value) . '</textarea>';
        }
        if ($name === 'role') {
            $options = '';
            foreach (wp_roles()->get_names() as $role => $title) {
                $options .= '<option value="' . esc_attr($role) . '"' . selected($role, $value, false) . '>' . esc_html(translate_user_role($title)) . '</option>';
            }
            return "<select $common>$options</select>";
        }
        return "<input type=\"text\" class=\"regular-text\" value=\"" . esc_attr($value) . "\" $common>";
    }
}
